# Messages of a run: before the first job, during training, after the last job.

# Training and freezing write their progress to their logs. The run shows it above the progress bars of the terminal.
# If the output goes to a file, one message per training every 20 seconds is enough.
FOLLOWER = Follower(
    [placed(f"results/{STUDY}/seed*/logs/train.log"), placed("results/logs/freeze/*.log")],
    logger.info,
    pause=0 if sys.stderr.isatty() else 20,
)


def replaced_settings(known):
    """Return what this run would replace in a finished study of the same name: one line per setting.

    known: the layers of the network, or None if they are not known yet.
    """
    if config["overwrite"]:
        return []
    # An old table may not have the layer that the config names.
    known = None if known and list(misfits(config, known)) else known
    try:
        # A study may consist of its sensitivity or its plan alone.
        tables = [placed(f"results/{STUDY}/{name}.csv") for name in ("curve", "sensitivity", "plan")]
        return replaced(next(filter(None, map(read_settings, tables)), []), config, OF_FILES, known)
    except StudyError:
        # The table was edited by hand, so it does not belong to any settings.
        return []


# The keys that one table depends on, with what is computed from it, and no file of a network. A run that does not write
# the table replaces nothing of them.
OF_TABLE = {name: tuple(f"{key}{SEPARATOR}" for key in keys) for name, keys in keys_of_tables().items()}


def is_of_a_table(line):
    """Return whether a line of `replaced_settings` is about a key of one table."""
    return line.startswith(sum(OF_TABLE.values(), ()))


def replaced_by_jobs():
    """Return what the jobs of this run would replace in a finished study of the same name: one line per setting."""
    jobs = list(workflow.dag.needrun_jobs())
    written, lines = {file for job in jobs for file in job.output}, []
    # A run that draws an archive may not write to the study.
    if not ARCHIVE or any(file.startswith(placed(f"results/{STUDY}/")) for file in written):
        # As long as the layers are not known, the jobs that write the curve are not known either.
        awaited = any(job.rule.name == "describe_network" for job in jobs)
        lines += [line for line in REPLACED if awaited or not is_of_a_table(line)]
    for table, keys in {} if config["overwrite"] else OF_TABLE.items():
        path = placed(f"results/{STUDY}/{table}")
        if path in written:
            with suppress(StudyError):
                found = replaced(read_settings(path), config, OF_FILES, BUILT_IN or table_of_layers())
                lines += [line for line in found if line.startswith(keys)]
    return list(dict.fromkeys(lines))


def former_figures():
    """Return the figures in the study's folder that the config does not draw; none before all others are drawn."""
    try:
        current = set(map(placed, all_figures(DRAWN)))
    except IncompleteCheckpointException:
        # With --until the run ended before the layers were known.
        return []
    if not all(map(os.path.exists, current)):
        return []
    of_targets = [*figures.of("sensitivity"), *figures.of("plan")]
    current |= set(map(placed, expand(rules.plot.output, study=DRAWN, figure=of_targets)))
    drawn = re.compile(rf"({'|'.join(figures.names())})(_.+_seed\d+)?\.(png|svg)")
    folder = Path(placed(f"results/{DRAWN}/figures"))
    return [
        path for path in sorted(folder.glob("*.*")) if drawn.fullmatch(path.name) and path.as_posix() not in current
    ]


def below_requirement(trained_now=()):
    """Return a line for each network of an earlier run that does not reach `training.require`.

    trained_now: seeds whose networks are trained again.
    """
    lines = []
    for seed in () if ARCHIVE or not REQUIRE else SEEDS:
        path = placed(history(STUDY)).format(seed=seed)
        if str(seed) not in trained_now and os.path.exists(path):
            # A damaged history is reported by the job that reads it.
            with suppress(StudyError, StopIteration):
                lacks = shortfall(kept_epoch(read_rows(path)), REQUIRE, TASK.INPUTS)
                lines += [f"{path}: {lacks}"] if lacks else []
    return lines


def replaces(lines):
    """Return the message about these replaced settings."""
    differences = "\n  ".join(lines)
    return (
        f"{placed(f'results/{STUDY}')} holds a finished study that was made with other settings:\n  {differences}\n"
        "To keep it, give this study a name: --config study=NAME. To replace it: --config overwrite=true."
    )


if lines := known_misfits():
    differences = "\n  ".join(lines)
    raise WorkflowError(f"the config has errors:\n  {differences}")

REPLACED = replaced_settings(BUILT_IN or table_of_layers()) if workflow.is_main_process else []
# For a dry run. What a run replaces is known when it starts.
if not ARCHIVE and (
    lines := [line for line in REPLACED if not (is_of_a_table(line) and {"sensitivity", "plan"} & {*sys.argv})]
):
    logger.warning(replaces(lines))
# Without hooks nothing below runs. Snakemake runs no hooks of a module either.
if REPLACED and ("--no-hooks" in sys.argv or not workflow.modifier.is_main_snakefile()):
    raise WorkflowError(f"stopped: {replaces(REPLACED)}")

# Also where no hooks run: in a dry run, in a module, and if there is nothing to do.
if lines := below_requirement() if workflow.is_main_process else []:
    differences = "\n  ".join(lines)
    logger.warning(f"networks of this study do not reach training.require:\n  {differences}")


def in_words():
    """Return the study in a line: a command without its config file would run another one."""
    network = config["network"]["factory"] or "built-in network"
    name = DATASET if DATASET_NAME == DATASET else f"{DATASET_NAME} ({DATASET})"
    seeds = f"{len(SEEDS)} networks" if len(SEEDS) > 1 else "one network"
    return f"study {STUDY}: {name}, {config['task']}, {network}, layer {config['layer']}, {seeds}"


# The rules whose jobs are known before the layers of the network.
BEFORE_PLAN = {"get_images", "make_pairs", "describe_network", *OF_TRAINING}


def require_reached():
    """Stop a run with --until whose rules have no jobs before the layers of the network are known.

    Snakemake would end at once, and report success.
    """
    behind = last_rules() & {rule.name for rule in workflow.rules} - BEFORE_PLAN
    if BY_CHECKPOINT and behind and not list(workflow.dag.needrun_jobs()):
        named = ", ".join(sorted(behind))
        raise WorkflowError(
            f"--until {named}: which jobs there are is known after the layers of the network; "
            "run `snakemake layers` with the same config first"
        )


onstart:
    require_reached()
    if lines := replaced_by_jobs():
        raise WorkflowError(
            f"stopped: {placed(f'results/{STUDY}')} would be replaced. Nothing was changed.",
            replaces(lines),
        )
    if lines := below_requirement(
        {job.wildcards.seed for job in workflow.dag.needrun_jobs() if job.rule.name in ("train", "load_weights")}
    ):
        raise WorkflowError(
            "stopped: networks of this study do not reach training.require. Nothing was changed.",
            *lines,
            "Train them with another recipe (training), or accept them with training.require: 0.",
        )
    # By default Snakemake (9.27) starts at most 100 jobs a second and looks for further ones each second anew, once more
    # for each job that has ended. Jobs of one machine need no such limit. The scheduler exists only now.
    limit = getattr(workflow.scheduler, "job_rate_limiter", None)
    if workflow.local_exec and limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    if not ARCHIVE:
        logger.info(in_words())
    FOLLOWER.start()


onsuccess:
    FOLLOWER.stop()
    targets = {rule.name for rule in workflow.dag.targetrules}
    for figure in former_figures() if targets & {"all", "complete", "figures"} else []:
        figure.unlink()
        logger.warning(f"removed {figure}: this config does not draw it (another layer, seed or criterion)")
    printed = {f"results/{STUDY}/{name}.txt": {name} for name in ("layers", "sensitivity", "plan")}
    printed[f"results/{DRAWN}/summary.txt"] = {"all", "complete", "figures", "summary"}
    for name, printed_by in printed.items():
        path = Path(placed(name))
        # With --until the run may end before the text is written.
        if targets & printed_by and path.exists():
            text = path.read_text(encoding="utf-8")
            logger.info(f"\n{text}")


onerror:
    FOLLOWER.stop()
