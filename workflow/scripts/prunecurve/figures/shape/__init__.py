"""Figures drawn from shape.csv."""
