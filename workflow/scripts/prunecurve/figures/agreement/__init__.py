"""Figures drawn from agreement.csv."""
