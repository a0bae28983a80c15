# From tables to figures: one figure, one module, one data file.


rule plot:
    input:
        data=lambda w: f"results/{w.dataset}/{STUDY_FIGURES[w.figure]}",
    output:
        png=report("results/{dataset}/figures/{figure}.png", category="Study", caption="../report/figure.rst"),
        svg="results/{dataset}/figures/{figure}.svg",
    log:
        "results/{dataset}/logs/plot/{figure}.log",
    wildcard_constraints:
        figure="|".join(STUDY_FIGURES),
    conda:
        "../envs/figures.yaml"
    params:
        script=script("plot"),
        code=lambda w: code("plot", f"figures.{figures.folder_of(w.figure)}.{w.figure}"),
        # In the config's order, for figures of the curve; the others don't depend on them.
        criteria=lambda w: CRITERIA if STUDY_FIGURES[w.figure] == "curve.csv" else [],
        dpi=config["figures"]["dpi"],
    shell:
        "python {params.script:q} --figure {wildcards.figure} --data {input.data:q} --criteria {params.criteria:q}"
        " --dpi {params.dpi} --png {output.png:q} --svg {output.svg:q} --log {log:q}"


rule plot_network:
    input:
        data="results/{dataset}/seed{seed}/activations/test/channels.csv",
        ranking=f"results/{{dataset}}/seed{{seed}}/ranking/{CRITERIA[0]}.csv",
        mean_maps="results/{dataset}/seed{seed}/activations/test/mean_maps.npy",
    output:
        png=report(
            "results/{dataset}/figures/{figure}_seed{seed}.png", category="Networks", caption="../report/figure.rst"
        ),
        svg="results/{dataset}/figures/{figure}_seed{seed}.svg",
    log:
        "results/{dataset}/logs/plot/{figure}_seed{seed}.log",
    wildcard_constraints:
        figure="|".join(NETWORK_FIGURES),
    conda:
        "../envs/figures.yaml"
    params:
        script=script("plot"),
        code=lambda w: code("plot", f"figures.{figures.folder_of(w.figure)}.{w.figure}"),
        criterion=CRITERIA[0],
        dpi=config["figures"]["dpi"],
        seed="{seed}",
    shell:
        "python {params.script:q} --figure {wildcards.figure} --dataset {wildcards.dataset} --seed {params.seed}"
        " --data {input.data:q} --mean-maps {input.mean_maps:q} --ranking {input.ranking:q}"
        " --criteria {params.criterion} --dpi {params.dpi} --png {output.png:q} --svg {output.svg:q} --log {log:q}"
