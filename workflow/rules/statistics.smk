# From rows to the curve, and from curves to what they say over networks.


rule aggregate:
    input:
        rows=lambda w: rows(seeds_of(w.study), ORDERS, REMOVALS, LAYER),
    output:
        curve="results/{study}/curve.csv",
        summary="results/{study}/summary.csv",
    log:
        "results/{study}/logs/aggregate.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("aggregate"),
        code=code("aggregate"),
        rows=lambda w: template(ROWS, layer=LAYER),
        seeds=lambda w: seeds_of(w.study),
        criteria=ORDERS,
        removals=REMOVALS,
        packs=list(PACKS[LAYER]),
        ks=sum(PACKS[LAYER].values(), []),
    shell:
        "python {params.script:q} --rows {params.rows:q} --seeds {params.seeds:q}"
        " --criteria {params.criteria:q} --removals {params.removals:q} --packs {params.packs:q} --ks {params.ks}"
        " --curve {output.curve:q} --summary {output.summary:q} --log {log:q}"


rule compare:
    input:
        rules.aggregate.output.curve,
    output:
        "results/{study}/comparisons.csv",
    log:
        "results/{study}/logs/compare.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("compare"),
        code=code("compare"),
    shell:
        "python {params.script:q} --curve {input:q} --output {output:q} --log {log:q}"


rule compare_rankings:
    input:
        lambda w: expand(RANKING, dataset=DATASET, seed=seeds_of(w.study), layer=LAYER, criterion=ORDERS),
    output:
        "results/{study}/agreement.csv",
    log:
        "results/{study}/logs/compare_rankings.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("compare_rankings"),
        code=code("compare_rankings"),
        rankings=lambda w: template(RANKING, layer=LAYER),
        dataset=DATASET,
        layer=LAYER,
        seeds=lambda w: seeds_of(w.study),
        criteria=ORDERS,
    shell:
        "python {params.script:q} --rankings {params.rankings:q} --dataset {params.dataset} --layer {params.layer}"
        " --seeds {params.seeds:q} --criteria {params.criteria:q}"
        " --output {output:q} --log {log:q}"


# The first ranking's curves for every kind of removal, whichever of them the study has.
rule explain_shape:
    input:
        curve=rules.aggregate.output.curve,
        rows=lambda w: rows(seeds_of(w.study), ORDERS[:1], REMOVAL_NAMES, LAYER),
    output:
        shown="results/{study}/shape.csv",
        table="results/{study}/shape_table.csv",
    log:
        "results/{study}/logs/explain_shape.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("explain_shape"),
        code=code("explain_shape"),
        rows=lambda w: template(ROWS, layer=LAYER),
        seeds=lambda w: seeds_of(w.study),
        criterion=ORDERS[0],
        removals=list(REMOVAL_NAMES),
        packs=list(PACKS[LAYER]),
        ks=sum(PACKS[LAYER].values(), []),
    shell:
        "python {params.script:q} --curve {input.curve:q} --rows {params.rows:q} --seeds {params.seeds:q}"
        " --criterion {params.criterion} --removals {params.removals:q} --packs {params.packs:q} --ks {params.ks}"
        " --shown {output.shown:q} --table {output.table:q} --log {log:q}"


rule aggregate_channels:
    input:
        lambda w: expand(
            f"{IN_LAYER}/activations/test/channels.csv", dataset=DATASET, seed=seeds_of(w.study), layer=LAYER
        ),
    output:
        "results/{study}/channels.csv",
    log:
        "results/{study}/logs/aggregate_channels.log",
    group:
        "tables"
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("aggregate_channels"),
        code=code("aggregate_channels"),
        channels=lambda w: template(f"{IN_LAYER}/activations/test/channels.csv", layer=LAYER),
        dataset=DATASET,
        layer=LAYER,
        seeds=lambda w: seeds_of(w.study),
    shell:
        "python {params.script:q} --channels {params.channels:q} --dataset {params.dataset} --layer {params.layer}"
        " --seeds {params.seeds:q}"
        " --output {output:q} --log {log:q}"


rule aggregate_sensitivity:
    input:
        rows=lambda w: [
            row for layer in LAYERS for row in rows(seeds_of(w.study), SENSITIVITY_ORDERS, ["structural"], layer)
        ],
    output:
        "results/{study}/sensitivity.csv",
    log:
        "results/{study}/logs/aggregate_sensitivity.log",
    group:
        "tables"
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("aggregate_sensitivity"),
        code=code("aggregate_sensitivity"),
        rows=lambda w: template(ROWS),
        seeds=lambda w: seeds_of(w.study),
        criteria=SENSITIVITY_ORDERS,
        layers=list(LAYERS),
        channels=list(LAYERS.values()),
        packs=[",".join(PACKS[layer]) for layer in LAYERS],
        ks=[",".join(map(str, sum(PACKS[layer].values(), []))) for layer in LAYERS],
    shell:
        "python {params.script:q} --rows {params.rows:q} --seeds {params.seeds:q} --criteria {params.criteria:q}"
        " --removal structural --layers {params.layers:q} --channels {params.channels:q} --packs {params.packs:q}"
        " --ks {params.ks:q} --output {output:q} --log {log:q}"
