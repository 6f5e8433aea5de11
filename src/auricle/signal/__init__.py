"""Signals: preprocessing for models, R peaks, quality."""
