"""The graph of a network: the channels of its layers, and the networks without some of them."""
