# Messages of a run: before the first job, during training, after the last job.

import re
from contextlib import suppress

from prunecurve.progress import Follower

# Training and freezing write their progress to their logs. The run shows it above the progress bars of the terminal.
# If the output goes to a file, one message per training every 20 seconds is enough.
FOLLOWER = Follower(
    [placed(f"results/{study.name}/seed*/logs/train.log"), placed("results/logs/freeze/*.log")],
    logger.info,
    pause=0 if sys.stderr.isatty() else 20,
)


def replaced_settings(layers):
    """Return what this run would replace in a finished study of the same name: one line per setting.

    layers: those of the network, or None if they are not known yet.
    """
    # An old table may not have the layer that the config names.
    layers = None if layers and list(misfits(config, layers)) else layers
    # A study may consist of its sensitivity or its plan alone.
    tables = [placed(f"results/{study.name}/{name}.csv") for name in ("curve", "sensitivity", "plan")]
    # A table that was edited by hand does not belong to any settings.
    with suppress(StudyError):
        stored = next(filter(None, map(read_settings, tables)), [])
        return [] if config["overwrite"] else replaced(stored, config, USERS_FILES, layers)
    return []


# The keys that one table depends on, with what is computed from it, and no file of a network. A run that does not write
# the table replaces nothing of them.
OF_TABLE = {name: tuple(f"{key}{SEPARATOR}" for key in keys) for name, keys in keys_of_tables().items()}


def is_of_a_table(line):
    """Return whether a line of `replaced_settings` is about a key of one table."""
    return line.startswith(sum(OF_TABLE.values(), ()))


def replaced_by_jobs(jobs):
    """Return what these jobs would replace in a finished study of the same name: one line per setting."""
    written, lines = {file for job in jobs for file in job.output}, []
    # A run that draws an archive may not write to the study.
    if not frozen or any(file.startswith(placed(f"results/{study.name}/")) for file in written):
        # As long as the layers are not known, the jobs that write the curve are not known either.
        awaited = any(job.rule.name == "describe_network" for job in jobs)
        lines += [line for line in REPLACED if awaited or not is_of_a_table(line)]
    for table, keys in {} if config["overwrite"] else OF_TABLE.items():
        path = placed(f"results/{study.name}/{table}")
        if path in written:
            with suppress(StudyError):
                differing = replaced(read_settings(path), config, USERS_FILES, study.built_in or table_of_layers())
                lines += [line for line in differing if line.startswith(keys)]
    return list(dict.fromkeys(lines))


def replaces(lines):
    """Return the message about these replaced settings."""
    differences = "\n  ".join(lines)
    return (
        f"{placed(f'results/{study.name}')} holds a finished study that was made with other settings:\n  {differences}\n"
        "To keep it, give this study a name: --config study=NAME. To replace it: --config overwrite=true."
    )


def below_requirement(trained=()):
    """Return a line for each network of an earlier run that does not reach the requirement, except those trained now."""
    earlier = [seed for seed in study.seeds if str(seed) not in trained and not frozen]
    return study.below_requirement(placed(study.history(study.name)).format(seed=seed) for seed in earlier)


def former_figures():
    """Return the figures in the study's folder that the config does not draw; none before all others are drawn."""
    current = set(map(placed, all_figures()))
    if not all(map(os.path.exists, current)):
        return []
    of_targets = [*figures.of("sensitivity"), *figures.of("plan")]
    current |= set(map(placed, expand(rules.plot.output, study=study.drawn, figure=of_targets)))
    drawn = re.compile(rf"({'|'.join(figures.names())})(_.+_seed\d+)?\.(png|svg)")
    folder = Path(placed(f"results/{study.drawn}/figures"))
    return [
        path for path in sorted(folder.glob("*.*")) if drawn.fullmatch(path.name) and path.as_posix() not in current
    ]


# For a dry run, a module and if there is nothing to do, where Snakemake runs no hooks.
REPLACED = replaced_settings(study.built_in or table_of_layers()) if workflow.is_main_process else []
if REPLACED and not frozen:
    logger.warning(replaces(REPLACED))
if REPLACED and placed("results") != "results":
    raise WorkflowError(f"stopped: {replaces(REPLACED)}")
if lines := below_requirement() if workflow.is_main_process else []:
    differences = "\n  ".join(lines)
    logger.warning(f"networks of this study do not reach training.require:\n  {differences}")


onstart:
    jobs = list(workflow.dag.needrun_jobs())
    behind = until() - {"get_images", "make_pairs", "describe_network", "train"}
    if behind and not jobs and not study.built_in and not table_is_current():
        # Snakemake would end at once, and report success.
        raise WorkflowError(
            f"--until {', '.join(sorted(behind))}: which jobs there are is known after the layers of the network; "
            "run `snakemake layers` with the same config first"
        )
    if lines := replaced_by_jobs(jobs):
        raise WorkflowError(
            f"stopped: {placed(f'results/{study.name}')} would be replaced. Nothing was changed.", replaces(lines)
        )
    if lines := below_requirement({job.wildcards.seed for job in jobs if job.rule.name == "train"}):
        raise WorkflowError(
            "stopped: networks of this study do not reach training.require. Nothing was changed.",
            *lines,
            "Train them with another recipe (training), or accept them with training.require: 0.",
        )
    if not frozen:
        logger.info(study.in_words())
    FOLLOWER.start()


onsuccess:
    FOLLOWER.stop()
    targets = {rule.name for rule in workflow.dag.targetrules}
    for figure in former_figures() if targets & {"all", "complete", "figures"} and not until() else []:
        figure.unlink()
        logger.warning(f"removed {figure}: this config does not draw it (another layer, seed or criterion)")
    printed = {f"results/{study.name}/{name}.txt": {name} for name in ("layers", "sensitivity", "plan")}
    printed[f"results/{study.drawn}/summary.txt"] = {"all", "complete", "figures", "summary"}
    for name, printed_by in printed.items():
        path = Path(placed(name))
        # With --until the run may end before the text is written.
        if targets & printed_by and path.exists():
            text = path.read_text(encoding="utf-8")
            logger.info(f"\n{text}")


onerror:
    FOLLOWER.stop()
