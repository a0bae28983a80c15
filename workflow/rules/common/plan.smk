# Shared by all rules: the layers of the network. Those of the built-in network follow from the config. Those of a network
# from outside (network.factory) are known after the job describe_network: it runs the user's code, and Snakemake does not.

from snakemake.exceptions import IncompleteCheckpointException

# The layers of the built-in network, or None.
BUILT_IN = Layers.of(config)
# Whether jobs wait for the checkpoint. A job in a process of its own was planned after it and reads the table.
BY_CHECKPOINT = BUILT_IN is None and workflow.is_main_process
LAYER_TABLE, LAYER_TEXT = "results/{study}/layers.csv", "results/{study}/layers.txt"
# Snakemake reports a finished checkpoint only if all its outputs exist, but it creates only those that are asked for.
AWAITED = next(
    (path for path in (LAYER_TABLE, f"{LAYER_TABLE}.settings") if not os.path.exists(placed(path.format(study=STUDY)))),
    LAYER_TEXT,
)

# The plan of this run, once it is known.
_known = []


def plan():
    """Return the layers of the network. Only for functions of `input` and `params`.

    A job whose `params` call it must call it in its `input` too; it then waits for the checkpoint. Raises WorkflowError
    if the config asks for a layer or a K that the network does not have.
    """
    if BUILT_IN:
        return BUILT_IN
    if not _known:
        if BY_CHECKPOINT:
            _await_checkpoint()
        found = table_of_layers()
        if found is None:
            raise WorkflowError(f"{placed(LAYER_TABLE.format(study=STUDY))} is missing; run the study again")
        if lines := list(misfits(config, found)):
            _refuse("\n".join(["the config has errors:", *(f"  {line}" for line in lines)]))
        # What the table says now was not known when the run started.
        if BY_CHECKPOINT and not REPLACED and (lines := replaced_settings(found)):
            _refuse(f"stopped: {replaces(lines)}")
        _known.append(found)
    return _known[0]


def table_of_layers():
    """Return the layers in the table of a network from outside as it is now, perhaps outdated; None if there is none."""
    path = placed(LAYER_TABLE.format(study=STUDY))
    try:
        return _table(path, os.stat(path).st_mtime_ns)
    except FileNotFoundError:
        return None
    except StudyError as error:
        raise WorkflowError(str(error)) from None


@functools.cache
def _table(path, changed):
    return Layers.read(read_rows(path, sealed=False))


def known_misfits():
    """Return the errors of `layer` and `sweep.ks`, if the layers are known when the run starts.

    A run that asks for the table is not stopped: it lists the layers that are allowed.
    """
    listed = any(word.endswith(("layers", "layers.csv", "layers.txt")) for word in sys.argv)
    found = None if BUILT_IN or not workflow.is_main_process or listed else current_table()
    return list(misfits(config, found)) if found else []


def current_table():
    """Return the layers in the table if it was made with this config and this code; otherwise None."""
    found, own = table_of_layers(), rules.describe_network.params
    if found is None:
        return None
    stored = stored_settings(placed(LAYER_TABLE.format(study=STUDY)))
    keys = [line.partition(SEPARATOR)[0] for line in stored]
    settings_of_job = own.settings({"study": STUDY}) if callable(own.settings) else own.settings
    asked = {*settings_of_job, own.code, *(all_settings()[key] for key in keys if key in all_settings())}
    return found if asked <= set(stored) else None


def _await_checkpoint():
    """Raise IncompleteCheckpointException unless the checkpoint is finished."""
    try:
        checkpoints.describe_network.get(study=STUDY)
    except IncompleteCheckpointException as awaited:
        raise IncompleteCheckpointException(awaited.rule, placed(AWAITED.format(study=STUDY))) from None


def _refuse(message):
    """Stop the run because of what the checkpoint found. In a run, Snakemake reports it once, without a traceback."""
    scheduler = workflow.scheduler
    if not hasattr(scheduler, "_executor_error"):
        raise WorkflowError(message)
    # An error in an input function would be reported with its traceback. So the scheduler is given the error, and the jobs
    # go on waiting for the checkpoint.
    if scheduler._executor_error is None:
        scheduler._executor_error = WorkflowError(message)
    raise IncompleteCheckpointException(None, placed(AWAITED.format(study=STUDY)))


def studied_layer():
    """Return the layer whose channels the study removes; for figures of an archive, the layer that is frozen."""
    if ARCHIVE and not BUILT_IN:
        return config["layer"]
    return pruned_layer(config, plan())


def studied_layers():
    """Return the layers of the target `sensitivity`."""
    try:
        return sensitivity_layers(config, plan())
    except StudyError as error:
        _refuse(str(error))


def channels_of(layer):
    """Return the number of channels of a layer."""
    return of_layer(plan().channels, layer)


def backend_of(layer):
    """Return how the network behind a layer is evaluated, numpy or torch."""
    return of_layer(plan().backends, layer)


def of_layer(values, layer):
    """Return the value of a layer in a mapping of the plan. Raises WorkflowError if the layer can't be pruned."""
    if layer not in values:
        raise WorkflowError(wrong_layer(layer, plan()))
    return values[layer]


def likely_backend(layer):
    """Return the backend of a layer for `group`, `conda`, `threads` and `resources`, whose functions can't wait.

    When the job starts, the table is known. Before, it is only planned.
    """
    known = BUILT_IN or table_of_layers()
    return known.backends.get(layer, "torch") if known else "torch"


def k_batches_of(layer):
    """Return the evaluation jobs of a layer: the values of K by the name of the job. The name is part of the file name."""
    after_plan(layer)
    return _k_batches(layer, plan())


@functools.cache
def _k_batches(layer, plan):
    return k_batches(config, layer, plan)


def after_plan(layer=None):
    """Return no files, once the layers of the network are known. An input function that calls it lets its job wait.

    Raises WorkflowError if the layer, one that a target names, can't be pruned.
    """
    known = plan()
    if layer:
        of_layer(known.channels, layer)
    return []


# The rules that write networks.
OF_TRAINING = {"train", "load_weights"}


def last_rules():
    """Return the rules of `--until`.

    After a checkpoint, Snakemake (9.27) does not know that anything needs their outputs, and does not run them.
    """
    return set(workflow.dag_settings.until)


def before_training():
    """Return no files, once the layers of the network are known; with `--until train` at once.

    So does a job in a process of its own, which does not know of `--until`.
    """
    return [] if last_rules() & OF_TRAINING or not workflow.is_main_process else after_plan()


def planned_layers():
    """Return the layers that the target `plan` prunes, with P: the first convolution of each group.

    Torch-Pruning makes the smaller networks, so it must be able to cut them.
    """
    layers = {
        name: count for name, count in plan().convolutions.items() if plan().verified_by.get(name) != PERTURBATION
    }
    if not layers:
        _refuse("plan: Torch-Pruning, which makes the smaller networks, can't follow any convolution of this network")
    return layers


# The names of evaluation jobs of several K. One of them has the K that only the verification needs.
ONLY_VERIFIED = "verified"
KS_OF_JOBS = {name for layer in BUILT_IN.channels for name in k_batches_of(layer) if "-" in name} if BUILT_IN else set()


wildcard_constraints:
    study="|".join(map(re.escape, [DRAWN, STUDY, f"{STUDY}/partial"])),
    seed=r"\d+",
    split="|".join(SPLITS),
    # The path of any module, if the layers are not known yet.
    layer="|".join(map(re.escape, BUILT_IN.channels)) if BUILT_IN else MODULE_PATH,
    point="conv|bn|relu|pool",
    target="(_sensitivity)?",
    criterion="|".join([*criteria.allowed(), r"random-\d+"]),
    removal="|".join(REMOVAL_NAMES),
    ks="|".join([r"\d+", ONLY_VERIFIED, *(KS_OF_JOBS if BUILT_IN else [r"\d+-\d+"])]),
