"""Losses: functions of tensors, each with its paper and equation. Nothing here knows a model."""
