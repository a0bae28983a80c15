"""Repairs of a pruned network: its readers refitted by least squares, the biases of its logits fitted.

A reader is a layer that reads the pruned channels. Without some of its inputs it gets the weights that are best at
computing what it computed before: for inputs x (centred) with covariance D and weights W, those of the kept inputs S
are D_SS⁻¹ (D W)_S, and the bias takes up the difference of the means. This is the least-squares fit of the reader's own
outputs, for any weighting of them; with all inputs kept it is W.

With D = L Lᵀ in the order of a ranking, kept inputs first, L_S is the leading block of L, and (D W)_S = L_S (Lᵀ W)_S.
So the fit of every K follows from one factorisation: its outputs are (x L⁻ᵀ) (Lᵀ W), cut off after the kept inputs.

Only scipy and numpy are imported.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from prunecurve.arrays import load_array, load_arrays, save_arrays
from prunecurve.errors import StudyError, some
from prunecurve.seeding import stream
from prunecurve.sweep.inputs import Calibration

# The ridge, relative to the mean of the diagonal. From 1e-6 to 1e-2 the results are the same; without it, inputs that
# are constant or copies of others have no unique weights.
RIDGE = 1e-3
# Half of it times the squared biases is added to their cross-entropy: where all calibration inputs are certain, many
# biases would have the same loss.
BIAS_RIDGE = 1e-6
# Newton's method on a convex function of C − 1 numbers: the gradient at which it ends, and its steps at most.
GRADIENT, STEPS = 1e-13, 100
# Positions of a convolution's output at which its inputs are measured. 4,000 inputs give 64,000 rows for the few
# thousand columns of the largest layers.
POSITIONS = 16
# The only field of a file of readers that cannot be refitted.
REFUSED = "refused"


class Reader(NamedTuple):
    """A layer that reads the pruned channels.

    Its D inputs (features of a linear layer, positions of a convolution's kernel for each channel) are U units of b
    inputs each. b is 1, so each input is fitted alone, unless there are very many: then the b inputs of a channel share
    their coefficients, one for each pair of channels.

    path: the module path of the layer. weight: float64 (U, b · H). mean: (U, b). covariance: (U, U), summed over the b
    inputs of a unit. Both are over the calibration inputs, and the positions of a convolution. channels: (U,), the
    channel of the pruned layer that each unit belongs to; −1 for units that are always kept.
    """

    path: str
    weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    channels: np.ndarray


def save_readers(path: str | os.PathLike[str], readers: Sequence[Reader], refused: str = "") -> None:
    """Write readers as one record of arrays. refused: why one of them cannot be refitted; then there are no others."""
    if refused:
        save_arrays(path, {REFUSED: np.asarray(refused)})
        return
    named = {
        f"{name}{i}": np.asarray(value) for i, each in enumerate(readers) for name, value in each._asdict().items()
    }
    save_arrays(path, named)


def load_readers(path: str | os.PathLike[str]) -> list[Reader]:
    """Read the file of `save_readers`. Raises StudyError if it is damaged, or if a reader cannot be refitted."""
    arrays = load_arrays(path)
    if REFUSED in arrays:
        raise StudyError(str(arrays[REFUSED]))
    rows = [[arrays[f"{name}{i}"] for name in Reader._fields] for i in range(len(arrays) // len(Reader._fields))]
    return [Reader._make([str(path), *numbers]) for path, *numbers in rows]


def chosen_positions(path: str, count: int) -> np.ndarray:
    """Return at which of `count` positions the inputs of a reader are measured, ascending. path: of the reader."""
    if count <= POSITIONS:
        return np.arange(count)
    return np.sort(stream(0, f"calibration/{path}").choice(count, POSITIONS, replace=False))


def regularised(covariance: np.ndarray) -> np.ndarray:
    """Return the covariance of a reader's inputs, (U, U), with the ridge on its diagonal."""
    ridge = RIDGE * np.trace(covariance) / len(covariance)
    # If all inputs are constant, any positive number gives the same weights: those that the reader has.
    return covariance + (ridge or 1.0) * np.eye(len(covariance))


class Refit:
    """The least-squares fits of a reader without the first K channels of a ranking, for every K."""

    def __init__(self, reader: Reader, order: np.ndarray) -> None:
        """Factorise the covariance. order: a ranking (P,), in the order of removal."""
        places = np.append(np.argsort(order), len(order))
        # The last channel, −1, has the place behind all others: it is never removed.
        self.reader, self.places = reader, places[reader.channels]
        # Units that are kept for longer come first.
        self.units = np.argsort(-self.places, kind="stable")
        self.factor = cholesky(regularised(reader.covariance)[np.ix_(self.units, self.units)], lower=True)

    def coefficients(self, weight: np.ndarray) -> np.ndarray:
        """Return Lᵀ W, (U, b · H), in the order of the factor. weight: (D, H), of the reader, possibly scaled."""
        return self.factor.T @ weight.reshape(self.reader.weight.shape)[self.units]

    def basis(self, inputs: np.ndarray) -> np.ndarray:
        """Return (x − mean) L⁻ᵀ, float64 (n, U, b), in the order of the factor, of inputs x (n, D) of the reader."""
        units, of_unit = self.reader.mean.shape
        centred = (inputs.reshape(-1, units, of_unit) - self.reader.mean)[:, self.units]
        columns = np.ascontiguousarray(centred.transpose(1, 0, 2)).reshape(units, -1)
        solved = solve_triangular(self.factor, columns, lower=True, overwrite_b=True, check_finite=False)
        return solved.reshape(units, -1, of_unit).transpose(1, 0, 2)

    def fitted(
        self, k: int, weight: np.ndarray, coefficients: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights (D, H) without the first K channels, and what is added to the bias (H,).

        The weights of removed inputs are zero. weight: (D, H), of the reader, possibly scaled. coefficients: the result
        of `coefficients`, which is the same for all K.
        """
        coefficients = self.coefficients(weight) if coefficients is None else coefficients
        left, fitted = np.count_nonzero(self.places >= k), np.zeros(self.reader.weight.shape)
        leading = self.factor[:left, :left]
        fitted[self.units[:left]] = solve_triangular(leading, coefficients[:left], lower=True, trans="T")
        fitted = fitted.reshape(weight.shape)
        return fitted, self.reader.mean.ravel() @ (weight - fitted)


def drawn(labels: np.ndarray, count: int, weights: str, random: np.random.Generator) -> np.ndarray:
    """Return the numbers of `count` random inputs, ascending; all if there are fewer.

    labels: (N,). With balanced weights, an input of each class is added if the draw has none.
    """
    order, places = random.permutation(len(labels)), np.arange(len(labels))[:count]
    first = np.unique(labels[order], return_index=True)[1] if weights == "balanced" else places[:0]
    return np.sort(order[np.union1d(first, places)])


def shares(labels: np.ndarray, weights: str) -> np.ndarray:
    """Return the weights of inputs (N,), with the sum 1: equal ones, or balanced, the same total for each class."""
    each = 1 / np.bincount(labels)[labels] if weights == "balanced" else np.ones(len(labels))
    return each / each.sum()


def fitted_bias(logits: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the numbers (C,), the first one 0, that minimise the cross-entropy if they are added to the logits.

    logits: (N, C). labels: (N,). shares: (N,), the weights of the inputs. Newton's method; a step that does not reduce
    the loss is halved. Raises StudyError if a class has no input: its bias would be −∞.
    """
    if missing := np.setdiff1d(np.arange(logits.shape[1]), labels).tolist():
        raise StudyError(
            f"repair.inputs: the {len(labels)} calibration inputs include none of class {some(missing, 5)}, so its "
            "bias cannot be fitted; raise the number, or use the repairs none and refit (sweep.repairs, "
            "sensitivity.repairs, plan.repair)"
        )
    logits, bias = logits.astype(np.float64), np.zeros(logits.shape[1])
    classes = np.zeros_like(logits)
    classes[np.arange(len(labels)), labels] = 1

    def loss_and_probabilities(bias: np.ndarray) -> tuple[float, np.ndarray]:
        moved = logits + bias
        moved -= moved.max(axis=1, keepdims=True)
        exponentials = np.exp(moved)
        sums = exponentials.sum(axis=1, keepdims=True)
        loss = shares @ (np.log(sums[:, 0]) - (moved * classes).sum(axis=1)) + BIAS_RIDGE / 2 * bias @ bias
        return float(loss), exponentials / sums

    loss, p = loss_and_probabilities(bias)
    for _ in range(STEPS):
        gradient = shares @ (p - classes) + BIAS_RIDGE * bias
        if np.abs(gradient[1:]).max() < GRADIENT:
            break
        weighted = p * shares[:, None]
        hessian = np.diag(weighted.sum(axis=0)) - weighted.T @ p
        # The first number stays 0.
        step = np.append(0, np.linalg.solve(hessian[1:, 1:] + BIAS_RIDGE * np.eye(len(bias) - 1), gradient[1:]))
        step *= min(1, 10 / np.abs(step).max())
        while (after := loss_and_probabilities(bias - step))[0] > loss and np.abs(step).max() > 1e-12:
            step /= 2
        bias, (loss, p) = bias - step, after
    return bias


class Fits:
    """The calibration inputs of one network and layer, and what is fitted to them."""

    def __init__(self, files: Calibration, backend: Any) -> None:
        """Read the files. backend: a `Backend` for these inputs."""
        self.backend, self.path = backend, files.readers
        self.features = load_array(files.features, mapped=True)
        self.labels = load_array(files.labels, shape=(len(self.features),))
        self.shares = load_array(files.shares, shape=(len(self.features),))

    @functools.cached_property
    def readers(self) -> list[Reader]:
        """The readers. Raises StudyError if one of them cannot be refitted, see `load_readers`."""
        return load_readers(self.path)

    def refits(self, order: np.ndarray) -> list[Refit]:
        """Return the fits of all readers for a ranking (P,)."""
        return [Refit(reader, order) for reader in self.readers]

    def biases(
        self, order: np.ndarray, ks: Sequence[int], replacement: np.ndarray, threads: int, refits: Sequence[Refit]
    ) -> np.ndarray:
        """Return what is added to the logits for each K: float32 (len(ks), C). See `numpy_backend.Backend.logits`."""
        by_k = self.backend.logits(self.features, order, ks, replacement, None, threads, refits=refits)
        return np.array([fitted_bias(logits, self.labels, self.shares) for logits in by_k], np.float32)
