"""Figures drawn from curve_mean.csv."""
