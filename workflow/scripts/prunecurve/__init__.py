"""The science of prunecurve, a package that knows nothing of Snakemake.

Data flows one way through its modules, each importing only those before it:
datasets → pairs → network → training → activations → head → criteria → sweep → statistics → figures
(tests/test_project.py holds the whole order).

It lies beside the scripts because Python puts a script's own folder on its path: nothing to install
on a cluster node or in a conda environment.
"""
