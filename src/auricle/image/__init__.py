"""ECG as images: `raster` draws a batch in grey for image encoders, `paper` draws one recording for people."""
