"""Measuring a trace: median beat, marks, waves, values with their uncertainty, remarks. Never reads age or sex."""
