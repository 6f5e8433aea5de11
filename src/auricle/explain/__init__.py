"""Explaining models to people: gates over age, reconstructions, and `figures`, pure functions of arrays."""
