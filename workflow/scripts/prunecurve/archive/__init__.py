"""Frozen studies, and the differences between two studies."""
