"""Figures drawn from channels.csv."""
