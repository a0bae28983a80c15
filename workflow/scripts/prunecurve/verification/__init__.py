"""Networks whose channels are really removed, compared with the sweep."""
