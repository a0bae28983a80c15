"""How many channels each layer keeps within a budget."""
