"""How the network behind a layer runs: `numpy` for linear layers only, otherwise `torch`. Each backend is a module.

A module has a class `Backend` with the method `logits`. The modules are imported by name, so that a job imports only
the backend that it uses, and its code digest contains no other.
"""
