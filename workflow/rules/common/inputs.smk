# Shared by all rules: the paths of artifacts, and the inputs that depend on the config or on wildcards.

# Evaluation jobs of fewer K than this start from stored sums, one for every 32 channels.
STORED_FOR = 32


SEED = "results/{study}/seed{seed}"
IN_LAYER = f"{SEED}/{{layer}}"
LAYER_FILE = f"{IN_LAYER}/layer.npy"
FEATURES = f"{IN_LAYER}/activations/test/features.npy"
RANKING = f"{IN_LAYER}/ranking/{{criterion}}.csv"
VALIDATION = f"{IN_LAYER}/validation/{{criterion}}.csv"
ROWS = f"{IN_LAYER}/sweep/{{criterion}}/{{removal}}/k{{ks}}.csv"


def mean_features(removals):
    """Return the input file with mean maps if `removals` contains mean_replacement, otherwise an empty list.

    The means are of the validation pairs: a pruned network must not contain anything of the pairs that evaluate it.
    """
    return f"{IN_LAYER}/activations/val/mean_features.npy" if "mean_replacement" in removals else []


def for_means(path):
    """Return a file that the verification needs to measure mean maps, or an empty list if no removal uses them."""
    return path if "mean_replacement" in REMOVALS else []


def verified_removals(layer):
    """Return the removals of the study, and the two kinds that the reference experiment does not distinguish."""
    both = ["structural"] if layer in plan().zero_weights else ["structural", "zero_weights"]
    return list(dict.fromkeys([*REMOVALS, *both]))


def model_of(layer):
    """Return the network, if evaluations of a layer need it, otherwise an empty list: numpy's weights are in layer.npy."""
    return f"{SEED}/model.pt" if backend_of(layer) == "torch" else []


def inputs_for(layer, kind, split):
    """Return a file of a split's inputs, `images` or `inputs`, if evaluations of a layer can need it, else an empty list.

    In torch, values that are too large to be stored are computed again.
    """
    return f"{SEED}/{kind}/{split}.npy" if backend_of(layer) == "torch" else []


def stored_sums(wildcards):
    """Return the stored sums of a ranking, from which an evaluation starts; an empty list if a job evaluates many K.

    In torch, a job evaluates all K and there are no sums. In numpy, such a job computes the same sums itself, and its
    rows have the same bytes. In large studies the stored sums would be larger than all other results together.
    """
    if backend_of(wildcards.layer) == "torch" or config["sweep"]["ks_per_job"] >= STORED_FOR:
        return []
    return f"{IN_LAYER}/partial_sums/{wildcards.criterion}.npy"


def read_by(criterion, what, path):
    """Return the path if the criterion reads this kind of input, otherwise an empty list."""
    return path if what in criteria.reads(criterion) else []


def verified_rows(wildcards):
    """Return the files with all rows that the verification of one network checks."""
    return [
        row
        for order in verified_orders(wildcards.target)
        for row in expand(
            ROWS,
            study=wildcards.study,
            seed=wildcards.seed,
            layer=wildcards.layer,
            criterion=order,
            removal=verified_removals(wildcards.layer),
            ks=sorted(set(verified_k_batches(wildcards.seed, wildcards.layer, order).values())),
        )
    ]


def rows(seeds, orders, removals, layer):
    """Return the files with all rows of these seeds, rankings and removals."""
    ks = k_batches_of(layer)
    return expand(ROWS, seed=seeds, layer=layer, criterion=orders, removal=removals, ks=ks, study=STUDY)


def rows_for_plan(seed):
    """Return the files with the evaluations on the validation inputs of all layers of a plan, for one seed."""
    criterion = config["plan"]["criterion"]
    return expand(VALIDATION, study=STUDY, seed=seed, layer=planned_layers(), criterion=criterion)


def class_files(study):
    """Return the files that `class_options` name."""
    if not TASK.CLASS_COUNTS:
        return []
    labels = expand(f"{SEED}/labels/test.npy", study=STUDY, seed=seeds_of(study))
    return [*expand(rules.get_images.output.classes, study=STUDY), *labels]
