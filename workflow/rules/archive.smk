# From a study to its archive: all files that its figures are drawn from, with a manifest of checksums.


rule freeze:
    input:
        lambda w: expand([f"results/{STUDY}/{name}" for name in archived()], seed=SEEDS, criterion=ORDERS),
    output:
        # The script replaces the old archive. If it fails, the old archive is kept.
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
        # Functions, because the braces in these values are not wildcards.
        root=lambda w: placed(f"results/{STUDY}"),
        files=lambda w: archived(),
        seeds=SEEDS,
        criteria=ORDERS,
        config=lambda w: json.dumps(frozen_config()),
        data=OF_FILES,
        # Here and not in the script: in an environment of its own it would see other versions of the libraries.
        codes=lambda w: code_lines(),
    shell:
        "python {params.script:q} --root {params.root:q} --files {params.files:q} --seeds {params.seeds:q}"
        " --criteria {params.criteria:q} --config {params.config:q} --data {params.data:q} --codes {params.codes:q}"
        " --manifest {output:q} --log {log:q}"
