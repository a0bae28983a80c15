"""The task `pairs`: two images are stacked, and the network says whether they are of the same class."""
