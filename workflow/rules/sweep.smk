# From a ranking to one row of the curve for each number K of removed channels.


# Sums of the first linear layer over the channels of a ranking. Jobs that evaluate few K in numpy start from them.
rule sum_channels:
    input:
        features=activations("test", "features.npy"),
        layer=LAYER_FILE,
        ranking=RANKING,
    output:
        # Not temp(): when a further K needs the sums, Snakemake (9.27) would run all finished evaluations again.
        # With ancient() in eval_pruned, it would miss an edit to code that both rules use.
        SUMS,
    log:
        f"{SEED}/logs/sum_channels/{{layer}}/{{criterion}}.log",
    cache: CACHED
    group:
        "sums"
    conda:
        "../envs/sweep.yaml"
    params:
        settings=code("sum_channels"),
    shell:
        command("sum_channels") + " --features {input.features:q} --layer {input.layer:q}"
        " --ranking {input.ranking:q} --output {output:q}"


# The network without the first K channels of a ranking. Where only linear layers follow the layer, numpy computes them.
# For other layers, torch runs the rest of the network, and one job evaluates all K of a ranking; so does a job that
# repairs the networks, in numpy too.
rule eval_pruned:
    input:
        features=activations("test", "features.npy"),
        split=lambda w: study.if_torch(w.layer, split_files("test")) or labels("test"),
        layer=LAYER_FILE,
        mean_features=lambda w: mean_features(parts_of(w.removal)[0]),
        ranking=RANKING,
        sums=lambda w: study.partial_sums(w.layer, w.removal),
        model=lambda w: study.if_torch(w.layer, MODEL),
        calibration=lambda w: study.calibration(w.layer, w.removal),
    output:
        ROWS,
    log:
        f"{SEED}/logs/eval_pruned/{{layer}}/{{criterion}}/{{removal}}/k{{ks}}.log",
    cache: CACHED
    # One evaluation in numpy takes less time than its submission to a cluster. The profile sets how many are submitted
    # together.
    group:
        evaluation_group
    conda:
        lambda w, input: "../envs/torch.yaml" if input.model else "../envs/sweep.yaml"
    threads: lambda w, input: config["threads"] if input.model else 1
    params:
        # The code is only that of the backend that is used: an edit to the other one does not trigger a re-run.
        settings=lambda w: study.if_torch(w.layer, settings.keys("threads"))
        + code("eval_pruned", *study.modules_of_evaluation(w.layer, w.get("removal", "structural"))),
        options=lambda w: study.if_torch(w.layer, options.torch()) + options.row(w.seed, w.criterion),
        # Parameters of their own, because the evaluations of a plan (plans.smk) replace them.
        removal="{removal}",
        ks=lambda w: study.ks_of_job(w.ks, int(w.seed), w.layer, w.criterion, w.removal),
    shell:
        command("eval_pruned") + " --features {input.features:q} --split {input.split:q} --layer {input.layer:q}"
        " --mean-features {input.mean_features:q} --ranking {input.ranking:q} --partial-sums {input.sums:q}"
        " --model {input.model:q} --calibration {input.calibration:q} {params.options:q} --removal {params.removal} --k {params.ks} --output {output:q}"
