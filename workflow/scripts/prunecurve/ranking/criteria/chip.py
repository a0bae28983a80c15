"""CHIP, channel independence: the decrease of the nuclear norm if map c is set to zero (Sui et al. 2021).

The P maps of a pair are the rows of a matrix A (P, M·N). If a map is close to a linear combination of the others, the
decrease is small.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("maps",)


def score(layer: Layer) -> np.ndarray:
    """Return the mean over pairs of ‖A‖_* − ‖A with row c set to zero‖_* (P,), in float64; 0 for a dead channel."""
    return np.mean([_decreases(maps.reshape(len(maps), -1).astype(np.float64)) for maps in layer.maps], axis=0)


def _decreases(rows: np.ndarray) -> np.ndarray:
    # AᵀA or AAᵀ, whichever is smaller: they have the same non-zero eigenvalues.
    if rows.shape[1] < rows.shape[0]:
        gram = rows.T @ rows
        without = gram - rows[:, :, None] * rows[:, None, :]
    else:
        gram = rows @ rows.T
        without = np.array([np.delete(np.delete(gram, c, 0), c, 1) for c in range(len(rows))])
    decreases = _nuclear_norm(gram) - _nuclear_norm(without)
    # A row of zeros gives exactly 0; otherwise rounding errors would decide the order of dead channels.
    return np.where(rows.any(axis=1), decreases, 0.0)


def _nuclear_norm(gram: np.ndarray) -> np.ndarray:
    """Return the sum of the singular values of A, the square roots of the eigenvalues of `gram` (…, m, m)."""
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0)).sum(axis=-1)
