# Messages of a run: before the first job, during training, after the last job.

# Training and freezing write their progress to their logs. The run shows it above the progress bars of the terminal.
# If the output goes to a file, one message per training every 20 seconds is enough.
FOLLOWER = Follower(
    [f"results/{STUDY}/seed*/logs/train.log", "results/logs/freeze/*.log"],
    logger.info,
    pause=0 if sys.stderr.isatty() else 20,
)


def replaced_settings():
    """Return what this run would replace in a finished study of the same name: one line per setting."""
    if ARCHIVE or config["overwrite"]:
        return []
    try:
        return replaced(read_settings(f"results/{STUDY}/curve.csv"), config)
    except StudyError:
        # The curve was edited by hand, so it does not belong to any settings.
        return []


def former_figures():
    """Return the figures in the study's folder that belong to another layer, seed or criterion than the config."""
    current = {*all_figures(DRAWN), *expand(rules.plot.output, study=DRAWN, figure=figures.of("of_sensitivity"))}
    drawn = re.compile(rf"({'|'.join(figures.names())})(_conv\d+_seed\d+)?\.(png|svg)")
    folder = Path("results", DRAWN, "figures")
    return [
        path for path in sorted(folder.glob("*.*")) if drawn.fullmatch(path.name) and path.as_posix() not in current
    ]


REPLACED = replaced_settings() if workflow.is_main_process else []
if REPLACED:
    differences = "\n  ".join(REPLACED)
    logger.warning(
        f"results/{STUDY} holds a finished study that was made with other settings:\n  {differences}\n"
        "To keep it, give this study a name: --config study=NAME. To replace it: --config overwrite=true."
    )


onstart:
    if REPLACED:
        raise WorkflowError(
            f"stopped: results/{STUDY} would be replaced (see the warning above). Nothing was changed."
        )
    FOLLOWER.start()


onsuccess:
    FOLLOWER.stop()
    targets = {rule.name for rule in workflow.dag.targetrules}
    # Only after a run that drew the figures of the present config.
    for figure in former_figures() if targets & {"all", "figures"} else []:
        figure.unlink()
        logger.warning(f"removed {figure}: it was drawn for another layer, seed or criterion of this study")
    summary = Path("results", DRAWN, "summary.txt")
    # With --until the run may end before the summary.
    if targets & {"all", "figures", "summary"} and summary.exists():
        text = summary.read_text(encoding="utf-8")
        logger.info(f"\n{text}")


onerror:
    FOLLOWER.stop()
