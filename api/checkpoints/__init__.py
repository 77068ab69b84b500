"""Checkpoints: their files, the names in them, and their tensors, read without running code."""
