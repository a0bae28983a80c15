"""Data sets, splits of their images, tasks, and batches of network inputs."""
