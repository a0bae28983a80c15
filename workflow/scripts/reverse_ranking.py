"""Turn one network's ranking round: the control that a criterion must differ from."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import read_rows, write_rows


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--ranking", type=Path, required=True)
    made.add_argument("--output", type=Path, required=True, help="output: order, channel, score with the other sign")
    return made


def work(arguments: argparse.Namespace) -> None:
    rows = reversed(read_rows(arguments.ranking))
    turned = [row | {"order": place, "score": -float(row["score"])} for place, row in enumerate(rows)]
    write_rows(arguments.output, turned)


if __name__ == "__main__":
    run(work, options().parse_args())
