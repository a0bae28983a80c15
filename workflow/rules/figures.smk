# From tables to figures: one module and one table per figure.

if frozen:

    # Local, because a job on another machine would treat the keys of config.yaml as keys of the command line.
    localrules:
        plot,
        plot_network,


rule plot:
    input:
        data=lambda w: study.table(w.study, STUDY_FIGURES[w.figure]),
        recalls=lambda w: study.class_recalls(w.study, w.figure),
        plan_layers=lambda w: study.table(w.study, "plan_layers.csv") if STUDY_FIGURES[w.figure] == "plan.csv" else [],
        # A figure of networks that have learned nothing carries a warning.
        training=lambda w: expand(study.history(w.study), seed=seeds_in(w.study)),
    output:
        png=in_figures("results/{study}/figures/{figure}.png", "All networks"),
        svg="results/{study}/figures/{figure}.svg",
    log:
        "results/{study}/logs/plot/{figure}.log",
    wildcard_constraints:
        figure="|".join(STUDY_FIGURES),
    group:
        "figures"
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: code("plot", f"figures.{figures.folder_of(w.figure)}.{w.figure}", *TASK),
        options=lambda w: options.histories(w.study, seeds_in(w.study))
        + flags(criteria=study.figure_criteria(w.figure), dpi=config["figures"]["dpi"]),
    shell:
        command("plot") + " --figure {wildcards.figure} --data {input.data:q} --recalls {input.recalls:q}"
        " --layers {input.plan_layers:q} {params.options:q} --png {output.png:q} --svg {output.svg:q}"


# The figures of one network, of its channels' mean maps. All parts but the parameters replace those of `plot`.
use rule plot as plot_network with:
    input:
        data=lambda w: study.table(w.study, f"seed{w.seed}/{w.layer}/activations/test/channels.csv"),
        maps=lambda w: study.table(w.study, f"seed{w.seed}/{w.layer}/activations/test/mean_maps.npy"),
        ranking=lambda w: study.table(w.study, f"seed{w.seed}/{w.layer}/ranking/{study.rankings[0]}.csv"),
        recalls=[],
        plan_layers=[],
        training=lambda w: expand(study.history(w.study), seed=w.seed),
    output:
        png=in_figures("results/{study}/figures/{figure}_{layer}_seed{seed}.png", "Single networks"),
        svg="results/{study}/figures/{figure}_{layer}_seed{seed}.svg",
    log:
        "results/{study}/logs/plot/{figure}_{layer}_seed{seed}.log",
    wildcard_constraints:
        # Longer names first: one begins with another, and a layer can have any name.
        figure="|".join(sorted(NETWORK_FIGURES, key=len, reverse=True)),
    params:
        options=lambda w, input: options.histories(w.study, [w.seed])
        + flags(criteria=study.rankings[0], dpi=config["figures"]["dpi"])
        + flags(maps=[study.dataset_name, w.seed, w.layer, input.maps, input.ranking])
        + flags(maps_order=config["figures"]["maps_order"]),
