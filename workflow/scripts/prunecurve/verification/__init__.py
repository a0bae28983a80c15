"""Networks whose channels are really removed, compared with the sweep."""

# How removals from a layer are verified: by Torch-Pruning, or by changing the channels (confirmation.py).
SURGERY, PERTURBATION = METHODS = "surgery", "perturbation"
