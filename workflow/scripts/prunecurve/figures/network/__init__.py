"""Figures drawn from one network: its channels.csv, order of pruning and mean maps."""
