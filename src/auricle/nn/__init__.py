"""Layers that more than one encoder or method is built from."""
