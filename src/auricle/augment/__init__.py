"""Augmentation: batched, on the batch's device, inside a method's step; random numbers come from torch's generator."""
