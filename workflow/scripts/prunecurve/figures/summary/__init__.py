"""Figures drawn from summary.csv."""
