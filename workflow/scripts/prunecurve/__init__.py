"""The library that the scripts use. It contains all computations and does not depend on Snakemake.

The folders are the stages of a study. Each imports only from folders below it: pyproject.toml has the order, and
`make lint` checks it.

The package is in the same folder as the scripts because Python adds a script's folder to its search
path. Nothing has to be installed on a cluster node or in a conda environment.
"""

import os
import sys

# How numpy and torch use threads. They read these variables when they are imported, which is after this module. Not in
# the process of Snakemake, whose environment the jobs of other workflows get too.
if "snakemake" not in sys.modules:
    # One BLAS thread: results must not depend on the number of cores. The key `threads` sets the threads of torch.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    # A thread of torch that waits for the others spins, by default 300,000 times. If two jobs share the cores, they
    # spin on the core that the other one needs. Without spinning, a job alone is little slower (docs/speed.md).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
