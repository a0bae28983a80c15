# From rows to the curve, and from the curve to statistics over networks.

# A job that reads the rows of all evaluations has no group: whenever one of them is finished, Snakemake would compare the
# groups of all. In a study of 13,000 evaluations that took two minutes.

# Scripts count the inputs of each class with the names of the classes and the test labels, if the task has such counts.
OF_CLASSES = [CLASSES, labels("test")] if study.task.CLASS_COUNTS else []


# All rows of the study in one table, the curve. If the task counts the inputs of each class, their recalls are a table of
# their own, because a study can have a hundred classes.
rule aggregate:
    input:
        rows=lambda w: study.rows(seeds_of(w.study), study.orders, study.removals, study.layer),
        classes=lambda w: [file for path in OF_CLASSES for file in of_networks(path, w.study)],
    output:
        **table_if(study.task.CLASS_COUNTS, "recalls", "results/{study}/class_recall.csv"),
        curve="results/{study}/curve.csv",
        settings="results/{study}/curve.csv.settings",
    log:
        "results/{study}/logs/aggregate.log",
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: study.settings_of_rankings(
            seeds_of(w.study), "layer", "ranking.criteria", "sweep.removals", "sweep.ks"
        ),
        code=code("aggregate"),
        curves=lambda w: study.curve_options(seeds_of(w.study), study.orders, study.removals),
        classes=lambda w: list(map(study.pattern, OF_CLASSES)),
        task=config["task"],
        recalls=lambda w, output: getattr(output, "recalls", []),
    shell:
        f"python {SCRIPTS}/aggregate.py {LOGGED}"
        " {params.curves:q} --classes {params.classes:q} --task {params.task}"
        " --curve {output.curve:q} --recalls {params.recalls:q}"


# What is computed from the curve alone, also from that of an archive.
rule summarise:
    input:
        curve=lambda w: study.table(w.study, "curve.csv"),
        training=lambda w: expand(study.history(w.study), seed=seeds_of(w.study)),
        shared=lambda w: study.shared_images(w.study, seeds_of(w.study)),
    output:
        **table_if(study.has_comparisons(study.seeds), "comparisons", "results/{study}/comparisons.csv"),
        mean=in_tables("results/{study}/curve_mean.csv", "mean over networks for every K", "curve_mean"),
        mean_settings="results/{study}/curve_mean.csv.settings",
        table=in_tables("results/{study}/summary.csv", "summary, one row per criterion and removal", "summary"),
        table_settings="results/{study}/summary.csv.settings",
        text=in_tables("results/{study}/summary.txt", "summary, as printed after a run", "summary"),
    log:
        "results/{study}/logs/summarise.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    params:
        code=code("summarise", TASK),
        networks=lambda w: study.network_options(w.study, seeds_of(w.study)),
        comparisons=lambda w, output: getattr(output, "comparisons", []),
    shell:
        f"python {SCRIPTS}/summarise.py --log {{log:q}} --settings {{params.code:q}}"
        " --curve {input.curve:q} --shared {input.shared:q} {params.networks:q} --mean {output.mean:q}"
        " --summary {output.table:q} --text {output.text:q} --comparisons {params.comparisons:q}"


# How the networks differ: the activations of their channels, how alike their rankings are, the images that they share.
rule compare_networks:
    input:
        channels=lambda w: of_networks(CHANNELS, w.study),
        rankings=lambda w: of_networks(RANKING, w.study, criterion=study.orders),
        index=lambda w: of_networks(INDEX, w.study),
    output:
        **table_if(len(study.seeds) > 1, "shared", "results/{study}/shared_images.csv"),
        channels="results/{study}/channels.csv",
        channels_settings="results/{study}/channels.csv.settings",
        agreement="results/{study}/agreement.csv",
        agreement_settings="results/{study}/agreement.csv.settings",
    log:
        "results/{study}/logs/compare_networks.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: study.settings_of_rankings(seeds_of(w.study), "layer", "ranking.criteria"),
        code=code("compare_networks"),
        patterns=lambda w: [study.pattern(path, layer=study.layer) for path in (CHANNELS, RANKING, INDEX)],
        columns=lambda w: [study.dataset_name, study.layer],
        seeds=lambda w: seeds_of(w.study),
        criteria=study.orders,
        shared=lambda w, output: getattr(output, "shared", []),
    shell:
        f"python {SCRIPTS}/compare_networks.py {LOGGED}"
        " --networks {params.patterns:q} --columns {params.columns:q} --seeds {params.seeds} --criteria {params.criteria}"
        " --channels {output.channels:q} --agreement {output.agreement:q} --shared-images {params.shared:q}"


# The curves of the first ranking for all kinds of removal, even those that the study does not include.
rule explain_shape:
    input:
        curve=rules.aggregate.output.curve,
        recalls=rules.aggregate.output.recalls if study.task.CLASS_COUNTS else [],
        classes=lambda w: [file for path in OF_CLASSES for file in of_networks(path, w.study)],
        rows=lambda w: study.rows(seeds_of(w.study), study.orders[:1], REMOVALS, study.layer),
    output:
        shown="results/{study}/shape.csv",
        shown_settings="results/{study}/shape.csv.settings",
        table="results/{study}/shape_table.csv",
        table_settings="results/{study}/shape_table.csv.settings",
        text=in_tables("results/{study}/shape.txt", "shape, explained", "shape"),
    log:
        "results/{study}/logs/explain_shape.log",
    conda:
        "../envs/figures.yaml"
    params:
        code=code("explain_shape", TASK),
        curves=lambda w: study.curve_options(seeds_of(w.study), study.orders[:1], REMOVALS),
        classes=lambda w: list(map(study.pattern, OF_CLASSES)),
        task=config["task"],
    shell:
        f"python {SCRIPTS}/explain_shape.py --log {{log:q}} --settings {{params.code:q}}"
        " {params.curves:q} --classes {params.classes:q} --task {params.task} --curve {input.curve:q}"
        " --recalls {input.recalls:q} --shown {output.shown:q} --table {output.table:q} --text {output.text:q}"


# The curves of several layers, and what each layer can lose within one percentage point.
rule aggregate_sensitivity:
    input:
        rows=lambda w: [
            row
            for layer in study.sensitivity_layers
            for row in study.rows(seeds_of(w.study), study.sensitivity_orders, ["structural"], layer)
        ],
        training=lambda w: expand(study.history(w.study), seed=seeds_of(w.study)),
    output:
        curves="results/{study}/sensitivity.csv",
        curves_settings="results/{study}/sensitivity.csv.settings",
        table=in_tables("results/{study}/sensitivity_table.csv", "sensitivity, layer by layer", "sensitivity"),
        table_settings="results/{study}/sensitivity_table.csv.settings",
        text="results/{study}/sensitivity.txt",
    log:
        "results/{study}/logs/aggregate_sensitivity.log",
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: study.settings_of_rankings(seeds_of(w.study), "sensitivity", "sweep.ks"),
        code=code("aggregate_sensitivity", TASK),
        rows=lambda w: study.pattern(ROWS),
        criteria=study.sensitivity_orders,
        layers=lambda w: [f"{layer}:{study.channels(layer)}" for layer in study.sensitivity_layers],
        ks=lambda w: [" ".join(study.k_words(layer)) for layer in study.sensitivity_layers],
        networks=lambda w: study.network_options(w.study, seeds_of(w.study)),
    shell:
        f"python {SCRIPTS}/aggregate_sensitivity.py {LOGGED}"
        " --rows {params.rows:q} --criteria {params.criteria} --removal structural --layers {params.layers:q}"
        " --ks {params.ks:q} {params.networks:q} --curves {output.curves:q} --table {output.table:q} --text {output.text:q}"
