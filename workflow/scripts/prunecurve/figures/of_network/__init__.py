"""Figures drawn from one network: its channels.csv, ranks and mean maps."""
