"""Figures drawn from comparisons.csv."""
