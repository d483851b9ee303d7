"""Slow, obvious versions of the kernels."""
