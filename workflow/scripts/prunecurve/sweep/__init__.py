"""Evaluations of the networks without the first K channels of a ranking."""
