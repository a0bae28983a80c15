"""What a study consists of, by its config and the layers of its network; nothing here knows Snakemake."""

from prunecurve.study.archived import archived_code, archived_config, archived_files
from prunecurve.study.earlier import EarlierResults
from prunecurve.study.frozen import Frozen
from prunecurve.study.options import Options, flags
from prunecurve.study.settings import Settings
from prunecurve.study.study import NETWORK_FIGURES, ONLY_VERIFIED, STUDY_FIGURES, Study, if_read, mean_features

__all__ = [
    "NETWORK_FIGURES",
    "ONLY_VERIFIED",
    "STUDY_FIGURES",
    "EarlierResults",
    "Frozen",
    "Options",
    "Settings",
    "Study",
    "archived_code",
    "archived_config",
    "archived_files",
    "flags",
    "if_read",
    "mean_features",
]
