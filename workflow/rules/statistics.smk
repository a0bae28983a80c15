# From rows to the curve, and from the curve to statistics over networks.

# A job that reads the rows of all evaluations has no group: whenever one of them is finished, Snakemake would compare the
# groups of all. In a study of 13,000 evaluations that took two minutes.

# The recall of each class is a table of its own, because a study can have a hundred classes.
CLASS_RECALL = (
    {
        "recalls": "results/{study}/class_recall.csv",
        "recalls_settings": "results/{study}/class_recall.csv.settings",
    }
    if TASK.CLASS_COUNTS
    else {}
)


rule aggregate:
    input:
        rows=lambda w: rows(seeds_of(w.study), ORDERS, REMOVALS, studied_layer()),
        of_classes=lambda w: class_files(w.study),
    output:
        **CLASS_RECALL,
        curve="results/{study}/curve.csv",
        settings="results/{study}/curve.csv.settings",
    log:
        "results/{study}/logs/aggregate.log",
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("aggregate"),
        code=code("aggregate"),
        settings=lambda w: [
            *setting_of_seeds(w.study),
            *settings_of("layer", "ranking.criteria", "sweep.removals", "sweep.ks"),
            *settings_of_rankings(CRITERIA),
        ],
        rows=lambda w: template(ROWS, layer=studied_layer()),
        seeds=lambda w: seeds_of(w.study),
        criteria=ORDERS,
        removals=REMOVALS,
        k_batches=lambda w: list(k_batches_of(studied_layer())),
        ks=lambda w: sum(k_batches_of(studied_layer()).values(), []),
        of_classes=lambda w, output: (
            ["--recalls", output.recalls, "--task", config["task"], *class_options()] if TASK.CLASS_COUNTS else []
        ),
    shell:
        "python {params.script:q} --rows {params.rows:q} --seeds {params.seeds:q}"
        " --criteria {params.criteria:q} --removals {params.removals:q} --k-batches {params.k_batches:q} --ks {params.ks}"
        " --curve {output.curve:q} {params.of_classes:q} --log {log:q} --settings {params.settings:q} {params.code:q}"


rule summarise:
    input:
        curve=lambda w: table(w.study, "curve.csv"),
        training=lambda w: expand(history(w.study), seed=seeds_of(w.study)),
        shared=lambda w: shared_images(w.study),
    output:
        table=report(
            "results/{study}/summary.csv",
            category="Tables",
            labels={"table": "summary, one row per criterion and removal"},
            caption="../report/summary.rst",
        ),
        settings="results/{study}/summary.csv.settings",
        text=report(
            "results/{study}/summary.txt",
            category="Tables",
            labels={"table": "summary, as printed after a run"},
            caption="../report/summary.rst",
        ),
    log:
        "results/{study}/logs/summarise.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("summarise"),
        code=code("summarise", OF_TASK),
        task=config["task"],
        training=lambda w: placed(history(w.study)),
        seeds=lambda w: seeds_of(w.study),
        figures=lambda w: placed(f"results/{w.study}/figures/"),
        shared=lambda w, input: ["--shared", input.shared] if input.shared else [],
    shell:
        "python {params.script:q} --curve {input.curve:q} --task {params.task} {params.shared:q}"
        " --figures {params.figures:q}"
        " --training {params.training:q} --seeds {params.seeds}"
        " --summary {output.table:q} --text {output.text:q} --log {log:q} --settings {params.code:q}"


# Mean and confidence interval over networks for each criterion, removal and K.
rule average_curves:
    input:
        lambda w: table(w.study, "curve.csv"),
    output:
        table=report(
            "results/{study}/curve_mean.csv",
            category="Tables",
            labels={"table": "mean over networks for every K"},
            caption="../report/curve_mean.rst",
        ),
        settings="results/{study}/curve_mean.csv.settings",
    log:
        "results/{study}/logs/average_curves.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("average_curves"),
        code=code("average_curves", OF_TASK),
        task=config["task"],
    shell:
        "python {params.script:q} --curve {input:q} --task {params.task} --output {output.table:q} --log {log:q}"
        " --settings {params.code:q}"


rule compare:
    input:
        lambda w: table(w.study, "curve.csv"),
    output:
        table=report(
            "results/{study}/comparisons.csv",
            category="Tables",
            labels={"table": "paired differences, criterion minus baseline"},
            caption="../report/comparisons.rst",
        ),
        settings="results/{study}/comparisons.csv.settings",
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
        "python {params.script:q} --curve {input:q} --output {output.table:q} --log {log:q} --settings {params.code:q}"


# How many images every two networks have in common.
rule compare_images:
    input:
        lambda w: expand(f"{SEED}/images/index.npy", study=STUDY, seed=seeds_of(w.study)),
    output:
        table="results/{study}/shared_images.csv",
        settings="results/{study}/shared_images.csv.settings",
    log:
        "results/{study}/logs/compare_images.log",
    group:
        "tables"
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("compare_images"),
        code=code("compare_images"),
        settings=lambda w: setting_of_seeds(w.study),
        index=lambda w: template(f"{SEED}/images/index.npy"),
        dataset=DATASET_NAME,
        seeds=lambda w: seeds_of(w.study),
    shell:
        "python {params.script:q} --index {params.index:q} --dataset {params.dataset:q} --seeds {params.seeds:q}"
        " --output {output.table:q} --log {log:q} --settings {params.settings:q} {params.code:q}"


rule compare_rankings:
    input:
        lambda w: expand(RANKING, study=STUDY, seed=seeds_of(w.study), layer=studied_layer(), criterion=ORDERS),
    output:
        table="results/{study}/agreement.csv",
        settings="results/{study}/agreement.csv.settings",
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
        settings=lambda w: [
            *setting_of_seeds(w.study),
            *settings_of("layer", "ranking.criteria"),
            *settings_of_rankings(CRITERIA),
        ],
        rankings=lambda w: template(RANKING, layer=studied_layer()),
        dataset=DATASET_NAME,
        layer=lambda w: studied_layer(),
        seeds=lambda w: seeds_of(w.study),
        criteria=ORDERS,
    shell:
        "python {params.script:q} --rankings {params.rankings:q} --dataset {params.dataset:q} --layer {params.layer:q}"
        " --seeds {params.seeds:q} --criteria {params.criteria:q}"
        " --output {output.table:q} --log {log:q} --settings {params.settings:q} {params.code:q}"


# The curves of the first ranking for all kinds of removal, even those that the study does not include.
rule explain_shape:
    input:
        curve=rules.aggregate.output.curve,
        recalls=[rules.aggregate.output.recalls] if TASK.CLASS_COUNTS else [],
        of_classes=lambda w: class_files(w.study),
        rows=lambda w: rows(seeds_of(w.study), ORDERS[:1], REMOVAL_NAMES, studied_layer()),
    output:
        shown="results/{study}/shape.csv",
        shown_settings="results/{study}/shape.csv.settings",
        table="results/{study}/shape_table.csv",
        table_settings="results/{study}/shape_table.csv.settings",
        text=report(
            "results/{study}/shape.txt",
            category="Figures",
            subcategory="All networks",
            labels={"figure": "shape, explained"},
            caption="../report/shape.rst",
        ),
    log:
        "results/{study}/logs/explain_shape.log",
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("explain_shape"),
        code=code("explain_shape", OF_TASK),
        task=config["task"],
        rows=lambda w: template(ROWS, layer=studied_layer()),
        seeds=lambda w: seeds_of(w.study),
        criterion=ORDERS[0],
        removals=list(REMOVAL_NAMES),
        k_batches=lambda w: list(k_batches_of(studied_layer())),
        ks=lambda w: sum(k_batches_of(studied_layer()).values(), []),
        of_classes=lambda w: class_options(),
    shell:
        "python {params.script:q} --task {params.task} --recalls {input.recalls:q} {params.of_classes:q}"
        " --curve {input.curve:q} --rows {params.rows:q} --seeds {params.seeds:q}"
        " --criterion {params.criterion} --removals {params.removals:q} --k-batches {params.k_batches:q} --ks {params.ks}"
        " --shown {output.shown:q} --table {output.table:q} --text {output.text:q}"
        " --log {log:q} --settings {params.code:q}"


rule aggregate_channels:
    input:
        lambda w: expand(
            f"{IN_LAYER}/activations/test/channels.csv", study=STUDY, seed=seeds_of(w.study), layer=studied_layer()
        ),
    output:
        table="results/{study}/channels.csv",
        settings="results/{study}/channels.csv.settings",
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
        settings=lambda w: setting_of_seeds(w.study) + settings_of("layer"),
        channels=lambda w: template(f"{IN_LAYER}/activations/test/channels.csv", layer=studied_layer()),
        dataset=DATASET_NAME,
        layer=lambda w: studied_layer(),
        seeds=lambda w: seeds_of(w.study),
    shell:
        "python {params.script:q} --channels {params.channels:q} --dataset {params.dataset:q} --layer {params.layer:q}"
        " --seeds {params.seeds:q}"
        " --output {output.table:q} --log {log:q} --settings {params.settings:q} {params.code:q}"


rule aggregate_sensitivity:
    input:
        rows=lambda w: [
            row
            for layer in studied_layers()
            for row in rows(seeds_of(w.study), SENSITIVITY_ORDERS, ["structural"], layer)
        ],
    output:
        table="results/{study}/sensitivity.csv",
        settings="results/{study}/sensitivity.csv.settings",
    log:
        "results/{study}/logs/aggregate_sensitivity.log",
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("aggregate_sensitivity"),
        code=code("aggregate_sensitivity"),
        settings=lambda w: [
            *setting_of_seeds(w.study),
            *settings_of("sensitivity", "sweep.ks"),
            *settings_of_rankings(config["sensitivity"]["criteria"]),
        ],
        rows=lambda w: template(ROWS),
        seeds=lambda w: seeds_of(w.study),
        criteria=SENSITIVITY_ORDERS,
        layers=lambda w: studied_layers(),
        channels=lambda w: [channels_of(layer) for layer in studied_layers()],
        k_batches=lambda w: [",".join(k_batches_of(layer)) for layer in studied_layers()],
        ks=lambda w: [",".join(map(str, sum(k_batches_of(layer).values(), []))) for layer in studied_layers()],
    shell:
        "python {params.script:q} --rows {params.rows:q} --seeds {params.seeds:q} --criteria {params.criteria:q}"
        " --removal structural --layers {params.layers:q} --channels {params.channels:q} --k-batches {params.k_batches:q}"
        " --ks {params.ks:q} --output {output.table:q} --log {log:q} --settings {params.settings:q} {params.code:q}"


# What each layer can lose within one percentage point.
rule summarise_sensitivity:
    input:
        sensitivity=rules.aggregate_sensitivity.output.table,
        training=lambda w: expand(history(w.study), seed=seeds_of(w.study)),
    output:
        table=report(
            "results/{study}/sensitivity_table.csv",
            category="Tables",
            labels={"table": "sensitivity, one row per layer and criterion"},
            caption="../report/sensitivity.rst",
        ),
        settings="results/{study}/sensitivity_table.csv.settings",
        text="results/{study}/sensitivity.txt",
    log:
        "results/{study}/logs/summarise_sensitivity.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("summarise_sensitivity"),
        code=code("summarise_sensitivity", OF_TASK),
        task=config["task"],
        training=lambda w: placed(history(w.study)),
        seeds=lambda w: seeds_of(w.study),
        figures=lambda w: placed(f"results/{w.study}/figures/"),
    shell:
        "python {params.script:q} --sensitivity {input.sensitivity:q} --figures {params.figures:q}"
        " --task {params.task} --training {params.training:q} --seeds {params.seeds}"
        " --table {output.table:q} --text {output.text:q} --log {log:q} --settings {params.code:q}"
