"""Networks whose channels are really removed, compared with the sweep."""

# How removals from a layer are verified: by Torch-Pruning, or where a change of its channels is seen (confirmed.py).
SURGERY, PERTURBATION = METHODS = "surgery", "perturbation"
