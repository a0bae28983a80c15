"""CHIP, channel independence: how much the nuclear norm falls when map c is zeroed (Sui et al. 2021).

The P maps of a pair are the rows of a matrix A (P, M·N); a channel that the others can express takes little away.
"""

import numpy as np

from prunecurve.criteria import Layer

READS = ("maps",)


def score(layer: Layer) -> np.ndarray:
    """(P,): the mean over pairs of ‖A‖_* − ‖A with row c zeroed‖_*, in float64; 0 for a dead channel."""
    return np.mean([_falls(maps.reshape(len(maps), -1).astype(np.float64)) for maps in layer.maps], axis=0)


def _falls(rows: np.ndarray) -> np.ndarray:
    # AᵀA or AAᵀ, whichever is smaller: their eigenvalues are the same but for zeros.
    if rows.shape[1] < rows.shape[0]:
        gram = rows.T @ rows
        without = gram - rows[:, :, None] * rows[:, None, :]
    else:
        gram = rows @ rows.T
        without = np.array([np.delete(np.delete(gram, c, 0), c, 1) for c in range(len(rows))])
    falls = _nuclear_norm(gram) - _nuclear_norm(without)
    # A row of zeros takes nothing away; what rounding leaves of that would order dead channels.
    return np.where(rows.any(axis=1), falls, 0.0)


def _nuclear_norm(gram: np.ndarray) -> np.ndarray:
    """The sum of the singular values of A, which are the roots of these eigenvalues, (…, m, m)."""
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0)).sum(axis=-1)
