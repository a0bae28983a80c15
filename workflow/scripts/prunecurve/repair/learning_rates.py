"""The choice of the learning rate of each kind of start of a retraining."""

from collections.abc import Iterable, Mapping
from statistics import fmean

SCORES = ("balanced_accuracy", "log_loss")


def chosen_rates(trials: Iterable[Mapping[str, str]]) -> list[dict[str, object]]:
    """Return one row per start and learning rate: means over networks on the validation inputs; `chosen` is 1 or 0.

    Of each start, the learning rate with the highest balanced accuracy is chosen; on a tie, with the lowest log loss.
    """
    networks: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in trials:
        networks.setdefault(tuple(row[key] for key in ("start", "k", "epochs", "learning_rate")), []).append(row)
    rows: list[dict[str, object]] = []
    best: dict[str, tuple[tuple[float, float], str]] = {}
    for (start, k, epochs, rate), each in networks.items():
        accuracy, loss = (fmean(float(row[score]) for row in each) for score in SCORES)
        rows.append({"start": start, "k": k, "epochs": epochs, "learning_rate": rate, "seeds": len(each)})
        rows[-1] |= dict(zip(SCORES, (accuracy, loss)))
        best.setdefault(start, ((accuracy, -loss), rate))
        best[start] = max(best[start], ((accuracy, -loss), rate), key=lambda merit: merit[0])
    return [row | {"chosen": int(best[str(row["start"])][1] == row["learning_rate"])} for row in rows]
