"""Training: one loop around any method."""
