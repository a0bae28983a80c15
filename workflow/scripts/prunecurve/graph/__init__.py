"""The graph of a network: the channels of its layers, and the network without some of them.

In the order in which they build on each other: tracing (in_place) gives the graph, channels (probing, pruning) the
groups of its channels, layers a single layer with its points and what is downstream of it, and checks, description and
layer_table what other jobs need to know of it.
"""
