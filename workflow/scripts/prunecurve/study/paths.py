"""Where the files of a study lie: patterns with the placeholders study, seed, layer, criterion, removal, ks, split.

Rules and the class `Study` (study.py) take them from here.
"""

SEED = "results/{study}/seed{seed}"
INDEX, MODEL, HISTORY = f"{SEED}/images/index.npy", f"{SEED}/model.pt", f"{SEED}/training.csv"
LAYER = f"{SEED}/{{layer}}"
LAYER_FILE = f"{LAYER}/layer.npy"
CHANNELS, MEAN_MAPS = f"{LAYER}/activations/test/channels.csv", f"{LAYER}/activations/test/mean_maps.npy"
CALIBRATION = f"{LAYER}/calibration"
RANKING = f"{LAYER}/ranking/{{criterion}}.csv"
SUMS = f"{LAYER}/partial_sums/{{criterion}}.npy"
ROWS = f"{LAYER}/sweep/{{criterion}}/{{removal}}/k{{ks}}.csv"
# The evaluations on the validation inputs, from which a plan is chosen.
VALIDATION = f"{LAYER}/validation/{{criterion}}/{{removal}}.csv"
# One folder for each budget, such as macs-0.5.
PLAN = f"{SEED}/plan/{{budget}}"
PLAN_CHOICE, PLAN_EVALUATION = f"{PLAN}/choice.csv", f"{PLAN}/evaluation.csv"
# Networks retrained or trained from scratch, the unpruned network retrained, and what learning rates are chosen from.
RETRAINED = f"{LAYER}/recovery/{{criterion}}/{{start}}/k{{k}}.csv"
FROM_SCRATCH, UNPRUNED = f"{LAYER}/recovery/scratch/k{{k}}.csv", f"{LAYER}/recovery/unpruned.csv"
TRIALS = f"{LAYER}/recovery/learning_rates/{{start}}.csv"
CLASSES = "results/{study}/source/classes.csv"
LAYER_TABLE = "results/{study}/layers.csv"

# The kinds of files of a split: the images, the images of each input, the labels.
KINDS = ("images", "inputs", "labels")


def split_files(split: str) -> list[str]:
    """Return the files of a split, in the order of KINDS."""
    return [f"{SEED}/{kind}/{split}.npy" for kind in KINDS]


def labels(split: str) -> str:
    """Return the labels of a split."""
    return f"{SEED}/labels/{split}.npy"


def activations(split: str, name: str) -> str:
    """Return a file that was measured on a split: features.npy is what the layers behind the pruned one read."""
    return f"{LAYER}/activations/{split}/{name}"
