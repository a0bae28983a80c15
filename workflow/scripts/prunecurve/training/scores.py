"""The scores of a network on the validation inputs, for any number of classes. Imports only numpy."""

import dataclasses

import numpy as np

from prunecurve.data.basic_metrics import counts_of, log_loss, predict, ratio, recalls_of

# A network that guesses is more than three standard errors above a constant answer in about one of a thousand cases.
STANDARD_ERRORS = 3


@dataclasses.dataclass(frozen=True)
class Scores:
    """What training knows about a network: log_loss in nats; recalls and inputs (C,), those of each class."""

    accuracy: float
    log_loss: float
    recalls: np.ndarray
    inputs: np.ndarray

    @property
    def constant(self) -> float:
        """The balanced accuracy of each constant answer, 1/C."""
        return 1 / len(self.recalls)

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall."""
        return float(sum(self.recalls.tolist()) / len(self.recalls))

    @property
    def above_constant(self) -> bool:
        """Whether balanced accuracy is clearly above that of a constant answer: by three standard errors.

        The standard error is that of the mean of C independent shares, the recalls of the classes.
        """
        variances = self.recalls * (1 - self.recalls) / np.maximum(self.inputs, 1) / len(self.recalls) ** 2
        excess = self.balanced_accuracy - self.constant
        return bool(excess > 0 and excess**2 > STANDARD_ERRORS**2 * variances.sum())


def validation_scores(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Return the scores of logits (N, C) and labels (N,), integers from 0, in float64."""
    logits = logits.astype(np.float64)
    inputs, correct, _ = counts_of(predict(logits), labels, logits.shape[1])
    return Scores(
        accuracy=ratio(int(correct.sum()), len(labels)),
        log_loss=log_loss(logits, labels),
        recalls=recalls_of(inputs, correct),
        inputs=inputs,
    )
