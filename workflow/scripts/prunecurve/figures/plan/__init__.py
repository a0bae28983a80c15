"""Figures drawn from plan.csv."""
