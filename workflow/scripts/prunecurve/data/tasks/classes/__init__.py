"""The task `classes`: one image, and the network says of which class it is."""
