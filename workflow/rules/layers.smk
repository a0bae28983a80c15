# The layers of a user's network: known after the checkpoint describe_network, which runs the user's code.


def table_of_layers():
    """Return the layers in the table of a user's network as it is now, perhaps outdated; None if there is none."""
    path = placed(LAYER_TABLE.format(study=config["study"]))
    return _table(path, os.stat(path).st_mtime_ns) if os.path.exists(path) else None


@functools.cache
def _table(path, changed):
    return Layers.read(read_rows(path, sealed=False))


def table_is_current():
    """Return whether the table of layers was made with this config and this code."""
    if table_of_layers() is None:
        return False
    stored = set(stored_settings(placed(LAYER_TABLE.format(study=config["study"]))))
    own, current = rules.describe_network.params.settings(None), config_settings(config)
    keys = {line.partition(": ")[0] for line in stored} & current.keys()
    return {*own, *(current[key] for key in keys)} <= stored


@functools.cache
def layers_of_users_network():
    """Return the layers of a user's network. For functions of `input` and `params` alone; their job then waits for them.

    Raises WorkflowError if the config asks for a layer or a K that the network does not have, or if the run would
    replace a finished study.
    """
    # Jobs in processes of their own were planned after the checkpoint. With --until, Snakemake (9.27) does not know after
    # a checkpoint that anything needs the outputs of these rules, and would not run them.
    if workflow.is_main_process and not (until() and table_is_current()):
        checkpoints.describe_network.get(study=study.name)
    layers = table_of_layers()
    if lines := list(misfits(config, layers)):
        raise WorkflowError("\n  ".join(["the config has errors:", *lines]))
    # What the table says now was not known when the run started (run.smk).
    if workflow.is_main_process and not REPLACED and (lines := earlier.replaced(layers)):
        raise WorkflowError(f"stopped: {earlier.message(lines)}")
    return layers


def layers_known(layer=None):
    """Return no files, once the layers of the network are known. An input function that calls it lets its job wait.

    Raises StudyError if the layer, one that a target names, cannot be pruned.
    """
    study.require_layer(layer or study.layer)
    return []


def evaluation_group(w):
    """Return the group of a layer's evaluations. It cannot wait for the layers: before they are known, it is a guess."""
    layers = study.built_in or table_of_layers()
    return "evaluations" if layers and layers.backends.get(w.layer) == "numpy" else "torch_evaluations"


def until():
    """Return the rules of `--until`."""
    return set(workflow.dag_settings.until)
