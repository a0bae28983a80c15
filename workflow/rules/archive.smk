# From a study to its archive: everything that its figures are drawn from, with a manifest of checksums.


def frozen_config():
    """The config that an archive keeps. The folder of the data is of one machine alone."""
    return {key: value for key, value in config.items() if key not in ("data_dir", "archive", "overwrite")}


def archive_of_study():
    """The manifest of the archive named after the study; it replaces neither another study's nor a committed archive."""
    path = Path("archive", STUDY, archive.MANIFEST)
    try:
        archive.require_replaceable(path.parent, frozen_config())
    except StudyError as error:
        raise WorkflowError(str(error)) from None
    return path.as_posix()


rule freeze:
    input:
        lambda w: expand([f"results/{STUDY}/{name}" for name in archived()], seed=SEEDS, criterion=ORDERS),
    output:
        # The script replaces the old archive by the new one; if it fails the old one stays.
        update("archive/{name}/manifest.json"),
    log:
        "results/logs/freeze/{name}.log",
    wildcard_constraints:
        name=r"[A-Za-z0-9][\w.-]*",
    conda:
        "../envs/figures.yaml"
    params:
        script=script("freeze"),
        code=code("freeze"),
        # Functions, since the braces in these values are no wildcards.
        root=lambda w: f"results/{STUDY}",
        files=lambda w: archived(),
        seeds=SEEDS,
        criteria=ORDERS,
        config=lambda w: json.dumps(frozen_config()),
        data=data_settings(DATA_CONTENT),
    shell:
        "python {params.script:q} --root {params.root:q} --files {params.files:q} --seeds {params.seeds:q}"
        " --criteria {params.criteria:q} --config {params.config:q} --data {params.data:q}"
        " --manifest {output:q} --log {log:q}"
