"""ECG as pictures for networks: `raster` draws a batch in grey, `fit` brings a picture to one size."""
