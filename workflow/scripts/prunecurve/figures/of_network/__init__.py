"""Figures drawn from one network: its rows of channels.csv and its mean maps."""
