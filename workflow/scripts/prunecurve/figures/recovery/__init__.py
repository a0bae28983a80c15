"""Figures drawn from recovery.csv."""
