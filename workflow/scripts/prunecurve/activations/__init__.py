"""What the channels of a layer give: maps, their means and their statistics."""
