"""The library that the scripts use. It contains all computations and does not depend on Snakemake.

Data flows through the modules in one direction, and each module imports only modules before it:
datasets → pairs → network → training → activations → head → criteria → sweep → statistics → figures
(tests/test_project.py checks the complete order).

The package is in the same folder as the scripts because Python adds a script's folder to its search
path. Nothing has to be installed on a cluster node or in a conda environment.
"""
