"""Figures drawn from sensitivity.csv."""
