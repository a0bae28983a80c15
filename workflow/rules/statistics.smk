# From rows to the curve, and from the curve to statistics over networks.

# The wildcard `study` is a folder in results: that of the study, `partial` in it for the networks that are finished
# (seeds_in returns which), or archive/NAME. For inputs that are very many files, scripts get patterns of their paths.

# Tables that not every study has. Outputs cannot be functions, so `partial` has those of the whole study; with one
# network, they are empty.
RECALLS = ["class_recall"] if study.metrics.CLASS_COUNTS else []
COMPARISONS = ["comparisons"] if study.has_comparisons(study.seeds) else []
SHARED_IMAGES = ["shared_images"] if len(study.seeds) > 1 else []


# All rows of the study in one table, the curve. If the task counts the inputs of each class, their recalls are a table of
# their own, because a study can have a hundred classes.
# No group, here and wherever a job reads the rows of all evaluations: whenever one of them is finished, Snakemake would
# compare their groups, which took two minutes for 13,000 evaluations.
rule aggregate:
    input:
        rows=lambda w: study.rows(seeds_in(w.study), study.rankings, study.variants, study.layer),
        classes=lambda w: expand_networks(study.class_files, w.study),
    output:
        curve="results/{study}/curve.csv",
        recalls=[f"results/{{study}}/{table}.csv" for table in RECALLS],
        settings=settings_files("curve", *RECALLS),
    log:
        "results/{study}/logs/aggregate.log",
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: settings.rankings(
            study.criteria,
            seeds_in(w.study),
            "layer",
            "ranking.criteria",
            "sweep.removals",
            "sweep.repairs",
            "sweep.ks",
        )
        + code("aggregate"),
        options=lambda w: options.curves(seeds_in(w.study), study.rankings, study.variants),
    shell:
        command("aggregate") + " {params.options:q} --curve {output.curve:q} --recalls {output.recalls:q}"


# What is computed from the curve alone, also from that of an archive.
rule summarise:
    input:
        curve=lambda w: study.table(w.study, "curve.csv"),
        training=lambda w: expand(study.history(w.study), seed=seeds_in(w.study)),
        shared=lambda w: study.shared_images(w.study, seeds_in(w.study)),
    output:
        comparisons=[f"results/{{study}}/{table}.csv" for table in COMPARISONS],
        mean=in_tables("results/{study}/curve_mean.csv", "mean over networks for every K", "curve_mean"),
        table=in_tables("results/{study}/summary.csv", "summary, one row per criterion and removal", "summary"),
        text=in_tables("results/{study}/summary.txt", "summary, as printed after a run", "summary"),
        settings=settings_files("curve_mean", "summary", *COMPARISONS),
    log:
        "results/{study}/logs/summarise.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    params:
        settings=code("summarise", *TASK),
        options=lambda w: options.histories(w.study, seeds_in(w.study)),
    shell:
        command("summarise") + " --curve {input.curve:q} --shared {input.shared:q} {params.options:q}"
        " --mean {output.mean:q} --summary {output.table:q} --text {output.text:q} --comparisons {output.comparisons:q}"


# How the networks differ: the activations of their channels, how alike their rankings are, the images that they share.
rule compare_networks:
    input:
        channels=lambda w: expand_networks(CHANNELS, w.study),
        rankings=lambda w: expand_networks(RANKING, w.study, criterion=study.rankings),
        index=lambda w: expand_networks(INDEX, w.study),
    output:
        channels="results/{study}/channels.csv",
        agreement="results/{study}/agreement.csv",
        shared=[f"results/{{study}}/{table}.csv" for table in SHARED_IMAGES],
        settings=settings_files("channels", "agreement", *SHARED_IMAGES),
    log:
        "results/{study}/logs/compare_networks.log",
    group:
        "tables"
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: settings.rankings(study.criteria, seeds_in(w.study), "layer", "ranking.criteria")
        + code("compare_networks"),
        options=lambda w: flags(
            networks=[options.pattern(path, layer=study.layer) for path in (CHANNELS, RANKING, INDEX)],
            columns=[study.dataset_name, study.layer],
            seeds=seeds_in(w.study),
            criteria=study.rankings,
        ),
    shell:
        command("compare_networks") + " {params.options:q} --channels {output.channels:q}"
        " --agreement {output.agreement:q} --shared-images {output.shared:q}"


# The curves of the first ranking for all kinds of removal, even those that the study does not include.
rule explain_shape:
    input:
        curve=rules.aggregate.output.curve,
        recalls=rules.aggregate.output.recalls,
        classes=lambda w: expand_networks(study.class_files, w.study),
        rows=lambda w: study.rows(seeds_in(w.study), study.rankings[:1], REMOVALS, study.layer),
    output:
        shown="results/{study}/shape.csv",
        table="results/{study}/shape_table.csv",
        text=in_tables("results/{study}/shape.txt", "shape, explained", "shape"),
        settings=settings_files("shape", "shape_table"),
    log:
        "results/{study}/logs/explain_shape.log",
    conda:
        "../envs/figures.yaml"
    params:
        settings=code("explain_shape", *TASK),
        options=lambda w: options.curves(seeds_in(w.study), study.rankings[:1], REMOVALS),
    shell:
        command("explain_shape") + " {params.options:q} --curve {input.curve:q} --recalls {input.recalls:q}"
        " --shown {output.shown:q} --table {output.table:q} --text {output.text:q}"


# The curves of several layers, and what each layer can lose within one percentage point.
rule aggregate_sensitivity:
    input:
        rows=lambda w: study.sensitivity_rows(seeds_in(w.study)),
        training=lambda w: expand(study.history(w.study), seed=seeds_in(w.study)),
    output:
        curves="results/{study}/sensitivity.csv",
        table=in_tables("results/{study}/sensitivity_table.csv", "sensitivity, layer by layer", "sensitivity"),
        text="results/{study}/sensitivity.txt",
        settings=settings_files("sensitivity", "sensitivity_table"),
    log:
        "results/{study}/logs/aggregate_sensitivity.log",
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: settings.rankings(
            config["sensitivity"]["criteria"], seeds_in(w.study), "sensitivity", "sweep.ks"
        )
        + code("aggregate_sensitivity", *TASK),
        options=lambda w: options.histories(w.study, seeds_in(w.study)) + options.sensitivity(),
    shell:
        command("aggregate_sensitivity") + " {params.options:q} --curves {output.curves:q} --table {output.table:q}"
        " --text {output.text:q}"
