"""Audit: how any model does at each age of the people it is asked about, and at which ages it should not be asked."""
