# From a study to its archive: all that its figures are drawn from, under a manifest that vouches for it.


rule freeze:
    input:
        lambda w: expand([f"results/{DATASET}/{name}" for name in archived()], seed=SEEDS, criterion=ORDERS),
    output:
        # The script puts the new archive in the place of the old one, which stays if it fails.
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
        root=lambda w: f"results/{DATASET}",
        # Functions, since what braces hold here is no wildcard.
        files=lambda w: archived(),
        seeds=SEEDS,
        criteria=ORDERS,
        # Where the data lie is of this machine alone.
        config=lambda w: json.dumps({key: value for key, value in config.items() if key not in ("data_dir", "archive")}),
    shell:
        "python {params.script:q} --root {params.root:q} --files {params.files:q} --seeds {params.seeds:q}"
        " --criteria {params.criteria:q} --config {params.config:q} --manifest {output:q} --log {log:q}"
