"""Figures drawn from curve.csv."""
