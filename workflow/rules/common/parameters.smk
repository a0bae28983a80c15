# Shared by all rules: their parameters, which are the options of scripts, settings of outputs and digests of code.

# A study's folder in commands. Not a parameter, so that studies of different names can share results through the cache.
WRITTEN = shlex.quote(placed("results/{wildcards.study}"))


def script(name):
    """Return the path of a rule's script."""
    return str(SCRIPTS / f"{name}.py")


def code(name, *plugins):
    """Return a line with the digest of a script, its modules and the versions of the libraries that it imports.

    Snakemake does not track them. The digest is a parameter of the job, so an edit or another version triggers a re-run.
    The modules are not input files, because each input file costs time in each of the thousands of jobs of a sweep.
    """
    return code_setting(script(name), *plugins)


@functools.cache
def all_settings(known=None):
    """Return the line `KEY: VALUE` of each key. Without a plan, those of a network's layers are as in the config."""
    return settings(config, known)


# The environment variable in which a run hands the settings for the code of a user's network to jobs in processes of
# their own. They would compute the digest again, perhaps after an edit.
PLANNED_CODE = "PRUNECURVE_CODE_OF_NETWORK"
# What a user's network depends on beside the config: the settings for its code, and the digest of each seed's weights.
try:
    if workflow.is_main_process or PLANNED_CODE not in os.environ:
        CODE_OF_NETWORK = [] if ARCHIVE else code_of_network(config["network"])
        os.environ.update({PLANNED_CODE: "|".join(CODE_OF_NETWORK)})
    else:
        CODE_OF_NETWORK = [line for line in os.environ[PLANNED_CODE].split("|") if line]
    WEIGHTS = {} if ARCHIVE else contents_of_weights(config["network"], SEEDS, ".snakemake/prunecurve/weights.json")
except StudyError as error:
    raise WorkflowError(str(error)) from None
# The settings for what lies in files of the user: the images and the weights.
OF_FILES = [*data_settings(DATA_CONTENT), *weights_settings(WEIGHTS.values())]


def settings_of(*keys):
    """Return the lines `KEY: VALUE` of these config keys or sections, which a rule's outputs depend on.

    They are stored in the outputs. Freezing an archive compares them with the config.
    """
    lines = all_settings(plan()) if {"layer", "sweep.ks"} & set(keys) else all_settings()
    return [lines[key] for key in lines if any(key == k or key.startswith(f"{k}.") for k in keys)]


def setting_of_seeds(study):
    """Return the setting that lists the seeds (networks) in a study's folder."""
    return [settings(config | {"seeds": seeds_of(study)})["seeds"]]


def settings_of_rankings(criteria):
    """Return the settings of a job that reads all rankings of these criteria."""
    return settings_of("ranking.random_draws") if "random" in criteria else []


def network_options(*, leaf_modules=True):
    """Return the options that say how a user's network is built; an empty list for the built-in network.

    leaf_modules: whether the script analyses the network; training does not.
    """
    network = config["network"]
    if not network["factory"]:
        return []
    words = ["--factory", network["factory"], "--arguments", json.dumps(network["arguments"], sort_keys=True)]
    return [*words, "--leaf-modules", *network["leaf_modules"]] if leaf_modules else words


def torch_options(layer):
    """Return the options of evaluations that run the network behind a layer in torch; an empty list for numpy."""
    if backend_of(layer) == "numpy":
        return []
    batch = ["--batch-size", config["activations"]["batch_size"]]
    return [*network_options(), *options(config["preprocess"]), *batch]


def settings_of_network():
    """Return the settings that a network is built with: of a user's network with the digest of its code."""
    others = ("network.weights", "network.leaf_modules")
    return [line for line in settings_of("network") if not line.startswith(others)] + CODE_OF_NETWORK


# The first request is about four times the peak memory measured with the reference experiment's network: 0.5 GB for jobs
# with torch, 0.2 GB for figures, 0.13 GB for all others.
def grown(first):
    """Return a function for the memory (MB) or time (minutes) of a cluster job; each retry requests more."""
    return lambda wildcards, attempt: first * attempt


def options(settings):
    """Return a section of the config as options of a script: `{epochs: 6}` gives `--epochs 6`."""
    words = []
    for key, value in settings.items():
        words.append(f"--{key.replace('_', '-')}")
        words.extend(str(v) for v in (value if isinstance(value, list) else [value]))
    return words


def template(path, **known):
    """Return a path with the given wildcards filled in. The script fills in the others, as it reads thousands of files."""
    path = placed(path)
    for name, value in {"study": STUDY, **known}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def settings_of_ranking(criterion):
    """Return the settings that a criterion's ranking depends on, except those of its inputs."""
    reads = set(criteria.reads(criterion))
    keys = [f"ranking.{key}" for key in criteria.parameters(criterion)]
    keys += ["ranking.split"] if reads & {"statistics", "maps"} else []
    keys += ["ranking.measure_at"] if criteria.point(criterion, "chosen") == "chosen" else []
    keys += ["threads"] if "labels" in reads else []
    return settings_of(*keys)


def backends(layer):
    """Return the module that evaluates the network behind a layer, by its dotted name, in a list."""
    return [f"sweep.backends.{backend_of(layer)}_backend"]


def modules_of(criterion, layer):
    """Return the modules that a criterion of a layer is computed with and that are imported by name."""
    losses = [f"ranking.{backend_of(layer)}_losses"] if "labels" in criteria.reads(criterion) else []
    return [f"ranking.criteria.{criterion_of(criterion)}", *losses]


def threads_with(backend):
    """Return the number of threads of an evaluation; in numpy always one."""
    return config["threads"] if backend == "torch" else 1


@functools.cache
def backend_options(layer):
    """Return the options of an evaluation that depend on the backend: threads, and the settings of its output."""
    backend = backend_of(layer)
    return ["--threads", threads_with(backend), "--settings", *(settings_of("threads") if backend == "torch" else [])]


def parameters(criterion):
    """Return the criterion's parameters in the config as KEY=NUMBER."""
    return [f"{key}={config['ranking'][key]}" for key in criteria.parameters(criterion)]


def ks_of(wildcards):
    """Return the values of K of an evaluation job. A K that is not in the study is evaluated only for the verification."""
    layer, name = wildcards.layer, wildcards.ks
    if name == ONLY_VERIFIED:
        if ks := ks_only_verified(wildcards.seed, layer, wildcards.criterion):
            return ks
        raise WorkflowError(f"k{name}: the study itself evaluates all K of {layer} that the verification needs")
    if "-" in name and name not in k_batches_of(layer):
        raise WorkflowError(f"k{name}: the study has no evaluation job of {layer} with these values of K")
    return k_batches_of(layer).get(name) or [int(name)]


def verified_ks(seed, layer, order):
    """Return the K that the verification checks in a ranking of one network."""
    channels, count = channels_of(layer), config["verification"]["drawn_ks"]
    return [*checked_ks(channels), *drawn_ks(channels, count, int(seed), layer, order)]


def ks_only_verified(seed, layer, order):
    """Return the K of `verified_ks` that the study does not evaluate."""
    evaluated = {k for several in k_batches_of(layer).values() for k in several}
    return [k for k in verified_ks(seed, layer, order) if k not in evaluated]


def verified_orders(target):
    """Return the rankings to verify: those of the study, or those of the target `sensitivity`."""
    most = config["verification"]["rankings"]
    return (SENSITIVITY_ORDERS if target else ORDERS)[: None if most == "all" else most]


def verified_k_batches(seed, layer, order):
    """Return the evaluation job of each K that the verification checks in a ranking of one network, by K.

    In numpy, a K that the study does not evaluate is a job of its own. In torch, one job evaluates all of them.
    """
    job_of = {k: name for name, several in k_batches_of(layer).items() for k in several}
    alone = {k: ONLY_VERIFIED if backend_of(layer) == "torch" else str(k) for k in ks_only_verified(seed, layer, order)}
    return {k: (job_of | alone)[k] for k in verified_ks(seed, layer, order)}


def verified_words(wildcards, part):
    """Return one word per verified ranking: its checked K (part 0) or their evaluation jobs (part 1), with commas."""
    orders = verified_orders(wildcards.target)
    checks = [verified_k_batches(wildcards.seed, wildcards.layer, order).items() for order in orders]
    return [",".join(str(item[part]) for item in items) for items in checks]


def class_options():
    """Return the options of scripts that count the inputs of each class; none if the task has no such counts."""
    if not TASK.CLASS_COUNTS:
        return []
    names = template(rules.get_images.output.classes)
    return ["--classes", names, "--labels", template(f"{SEED}/labels/test.npy")]
