"""The network: its layers, its training, and whether it has learned its task."""
