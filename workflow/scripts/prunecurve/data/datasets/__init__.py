"""The data sets, by name. Each one is a `DataSet` in a module of this folder, which declares everything about it.

To add a data set, write a module with a dictionary `DATASETS` of its data sets, and add a line to `MODULES`.
"""

import importlib
from collections.abc import Iterator, Mapping

from prunecurve.data.datasets.image_set import DataSet

# The module of each data set.
MODULES = {
    "digits": "bundled",
    "mnist": "idx",
    "fashion_mnist": "idx",
    "kmnist": "idx",
    "cifar10": "cifar",
    "cifar100": "cifar",
    "image_folder": "folder",
    "arrays": "arrays",
}


class _ByName(Mapping[str, DataSet]):
    """All data sets by name. A module is imported when one of its data sets is looked up.

    It is imported by name, so that an edit to a module is an edit to its own data sets only (see source.py).
    """

    def __getitem__(self, name: str) -> DataSet:
        return importlib.import_module(f"{__name__}.{MODULES[name]}").DATASETS[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


DATASETS: Mapping[str, DataSet] = _ByName()
