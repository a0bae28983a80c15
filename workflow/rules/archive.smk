# From a study to its archive: all files that its figures are drawn from, with a manifest of checksums.


rule freeze:
    input:
        lambda w: expand([f"results/{study.name}/{f}" for f in archived()], seed=study.seeds, criterion=study.rankings),
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
        settings=code("freeze"),
        # A function, because the braces in these values are not wildcards.
        options=lambda w: flags(
            root=placed(f"results/{study.name}"),
            files=archived(),
            seeds=study.seeds,
            criteria=study.rankings,
            config=json.dumps(archived_config(study)),
            data=USERS_FILES,
        ),
        # Here and not in the script: in an environment of its own it would see other versions of the libraries.
        codes=lambda w: CODE_OF_NETWORK
        + [code(*each)[0] for each in archived_code(study, [path.stem for path in sorted(SCRIPT_FILES.glob("*.py"))])],
    shell:
        command("freeze") + " {params.options:q} --codes {params.codes:q} --manifest {output:q}"
