# From tables to figures: one module and one table per figure.

if ARCHIVE:

    # Local, because a job on another machine would treat the keys of config.yaml as keys of the command line.
    localrules:
        plot,
        plot_network,


rule plot:
    input:
        data=lambda w: table(w.study, STUDY_FIGURES[w.figure]),
        recalls=lambda w: recalls_of_classes(w.study, w.figure),
        layers=lambda w: table(w.study, "plan_layers.csv") if STUDY_FIGURES[w.figure] == "plan.csv" else [],
        # A figure of networks that have learned nothing carries a warning.
        training=lambda w: expand(history(w.study), seed=seeds_of(w.study)),
    output:
        png=report(
            "results/{study}/figures/{figure}.png",
            category="Figures",
            subcategory="All networks",
            labels=lambda w: {"figure": w.figure.replace("_", " ")},
            caption="../report/figure.rst",
        ),
        svg="results/{study}/figures/{figure}.svg",
    log:
        "results/{study}/logs/plot/{figure}.log",
    wildcard_constraints:
        figure="|".join(STUDY_FIGURES),
    group:
        "figures"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(5),
    params:
        script=script("plot"),
        code=lambda w: code("plot", f"figures.{figures.folder_of(w.figure)}.{w.figure}", OF_TASK),
        task=config["task"],
        # In the order of the config. Figures of channels do not depend on criteria; those of targets have their own.
        criteria=lambda w: [] if STUDY_FIGURES[w.figure] in ("channels.csv", *OF_TARGETS) else CRITERIA,
        dpi=config["figures"]["dpi"],
        training=lambda w: placed(history(w.study)),
        seeds=lambda w: seeds_of(w.study),
    shell:
        "python {params.script:q} --figure {wildcards.figure} --data {input.data:q}"
        " --recalls {input.recalls:q} --layers {input.layers:q} --criteria {params.criteria:q}"
        " --task {params.task} --training {params.training:q} --seeds {params.seeds}"
        " --dpi {params.dpi} --png {output.png:q} --svg {output.svg:q} --log {log:q}"


rule plot_network:
    input:
        data=lambda w: table(w.study, f"seed{w.seed}/{w.layer}/activations/test/channels.csv"),
        ranking=lambda w: table(w.study, f"seed{w.seed}/{w.layer}/ranking/{ORDERS[0]}.csv"),
        mean_maps=lambda w: table(w.study, f"seed{w.seed}/{w.layer}/activations/test/mean_maps.npy"),
        training=lambda w: expand(history(w.study), seed=w.seed),
    output:
        png=report(
            "results/{study}/figures/{figure}_{layer}_seed{seed}.png",
            category="Figures",
            subcategory="Single networks",
            labels=lambda w: {"figure": w.figure.replace("_", " "), "layer": w.layer, "seed": w.seed},
            caption="../report/figure.rst",
        ),
        svg="results/{study}/figures/{figure}_{layer}_seed{seed}.svg",
    log:
        "results/{study}/logs/plot/{figure}_{layer}_seed{seed}.log",
    wildcard_constraints:
        # Longer names first: one begins with another, and a layer can have any name.
        figure="|".join(sorted(NETWORK_FIGURES, key=len, reverse=True)),
    group:
        "figures"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(5),
    params:
        script=script("plot"),
        code=lambda w: code("plot", f"figures.{figures.folder_of(w.figure)}.{w.figure}", OF_TASK),
        task=config["task"],
        criterion=ORDERS[0],
        maps_order=config["figures"]["maps_order"],
        dataset=DATASET_NAME,
        dpi=config["figures"]["dpi"],
        training=lambda w: placed(history(w.study)),
        seed="{seed}",
        layer="{layer}",
    shell:
        "python {params.script:q} --figure {wildcards.figure} --dataset {params.dataset:q} --seed {params.seed}"
        " --layer {params.layer:q} --task {params.task} --training {params.training:q} --seeds {params.seed}"
        " --data {input.data:q} --mean-maps {input.mean_maps:q} --ranking {input.ranking:q}"
        " --criteria {params.criterion} --maps-order {params.maps_order} --dpi {params.dpi}"
        " --png {output.png:q} --svg {output.svg:q} --log {log:q}"
