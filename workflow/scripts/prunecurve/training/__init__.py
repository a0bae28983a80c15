"""Training, and whether a network has learned its task."""
