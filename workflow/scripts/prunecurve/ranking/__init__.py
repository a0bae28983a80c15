"""From activations, weights and losses to the order in which a criterion removes channels."""
