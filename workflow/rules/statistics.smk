# From rows to the curve and its summary, and from networks to a table of all channels.


rule aggregate:
    input:
        rows=expand(ROWS, seed=config["seeds"], criterion=CRITERIA, removal=REMOVALS, ks=PACKS, allow_missing=True),
    output:
        curve="results/{dataset}/curve.csv",
        summary="results/{dataset}/summary.csv",
    log:
        "results/{dataset}/logs/aggregate.log",
    conda:
        "../envs/figures.yaml"
    params:
        script=script("aggregate"),
        code=code("aggregate"),
        rows=lambda w: template(ROWS),
        seeds=config["seeds"],
        criteria=CRITERIA,
        removals=REMOVALS,
        packs=list(PACKS),
        ks=KS,
    shell:
        "python {params.script:q} --rows {params.rows:q} --seeds {params.seeds:q} --criteria {params.criteria:q}"
        " --removals {params.removals:q} --packs {params.packs:q} --ks {params.ks} --curve {output.curve:q} --summary {output.summary:q}"
        " --log {log:q}"


rule aggregate_channels:
    input:
        channels=expand(
            "results/{dataset}/seed{seed}/activations/test/channels.csv", seed=config["seeds"], allow_missing=True
        ),
    output:
        "results/{dataset}/channels.csv",
    log:
        "results/{dataset}/logs/aggregate_channels.log",
    conda:
        "../envs/sweep.yaml"
    params:
        script=script("aggregate_channels"),
        code=code("aggregate_channels"),
        channels=lambda w: template("results/{dataset}/seed{seed}/activations/test/channels.csv"),
        seeds=config["seeds"],
    shell:
        "python {params.script:q} --channels {params.channels:q} --dataset {wildcards.dataset} --seeds {params.seeds:q}"
        " --output {output:q} --log {log:q}"
