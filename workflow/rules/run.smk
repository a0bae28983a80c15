# Messages of a run: before the first job, during training, after the last job.

from prunecurve.progress import Follower

# Trainings and freezing write their progress to their logs. The run shows it above the progress bars of the terminal.
# If the output goes to a file, one message per training every 20 seconds is enough.
FOLLOWER = Follower(
    [placed(f"results/{study.name}/seed*/logs/{name}.log") for name in ("train", "retrain/*/*")]
    + [placed("results/logs/freeze/*.log")],
    logger.info,
    pause=0 if sys.stderr.isatty() else 20,
)


earlier = EarlierResults(study, USERS_FILES, placed)


def below_requirement(trained=()):
    """Return a line for each network of an earlier run that does not reach the requirement, except those trained now."""
    earlier = [seed for seed in study.seeds if str(seed) not in trained and not frozen]
    return study.below_requirement(placed(study.history(study.name)).format(seed=seed) for seed in earlier)


# The targets that draw all figures of a study.
DRAWING = {"all", "complete", "figures"}

# For a dry run, a module and if there is nothing to do, where Snakemake runs no hooks.
REPLACED = earlier.replaced(study.built_in or table_of_layers()) if workflow.is_main_process else []
if REPLACED and not frozen:
    logger.warning(earlier.message(REPLACED))
if REPLACED and placed("results") != "results":
    raise WorkflowError(f"stopped: {earlier.message(REPLACED)}")
if lines := below_requirement() if workflow.is_main_process else []:
    differences = "\n  ".join(lines)
    logger.warning(f"networks of this study do not reach training.require:\n  {differences}")


onstart:
    planned = list(workflow.dag.needrun_jobs())
    behind = until() - {"get_images", "make_pairs", "describe_network", "train"}
    if behind and not planned and not study.built_in and not table_is_current():
        # Snakemake would end at once, and report success.
        raise WorkflowError(
            f"--until {', '.join(sorted(behind))}: which jobs there are is known after the layers of the network; "
            "run `snakemake layers` with the same config first"
        )
    written = {file for job in planned for file in job.output}
    awaited = any(job.rule.name == "describe_network" for job in planned)
    if lines := earlier.replaced_by(written, REPLACED, study.built_in or table_of_layers(), awaited=awaited):
        raise WorkflowError(
            f"stopped: {earlier.folder} would be replaced. Nothing was changed.", earlier.message(lines)
        )
    if lines := below_requirement({job.wildcards.seed for job in planned if job.rule.name == "train"}):
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
    for figure in earlier.former_figures(all_figures()) if targets & DRAWING and not until() else []:
        figure.unlink()
        logger.warning(f"removed {figure}: this config does not draw it (another layer, seed or criterion)")
    printed = {f"results/{study.name}/{name}.txt": {name} for name in ("layers", "sensitivity", "plan", "recovery")}
    printed[f"results/{study.drawn}/summary.txt"] = DRAWING | {"summary"}
    for name, printed_by in printed.items():
        path = Path(placed(name))
        # With --until the run may end before the text is written.
        if targets & printed_by and path.exists():
            text = path.read_text(encoding="utf-8")
            logger.info(f"\n{text}")


onerror:
    FOLLOWER.stop()
