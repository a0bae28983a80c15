# From a ranking to one row of the curve for each number K of removed channels.


rule sum_channels:
    input:
        features=FEATURES,
        weights=rules.train.output.weights,
        ranking=RANKING,
    output:
        # Not temp(): Snakemake (9.27) would run all finished evaluations of a ranking again when a further K needs the sums.
        # With ancient() it would not run them again if their own code changed together with that of the sums.
        f"{IN_LAYER}/partial_sums/{{criterion}}.npy",
    log:
        f"{SEED}/logs/sum_channels/{{layer}}/{{criterion}}.log",
    cache: CACHED
    group:
        "sums"
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(500),
        runtime=grown(2),
    params:
        script=script("sum_channels"),
        code=code("sum_channels"),
    shell:
        "python {params.script:q} --features {input.features:q} --weights {input.weights:q}"
        " --ranking {input.ranking:q} --output {output:q} --log {log:q} --settings {params.code:q}"


rule eval_pruned:
    input:
        features=FEATURES,
        labels=f"{SEED}/labels/test.npy",
        weights=rules.train.output.weights,
        mean_features=lambda w: mean_features([w.removal]),
        ranking=RANKING,
        partial_sums=stored_sums,
    output:
        ROWS,
    log:
        f"{SEED}/logs/eval_pruned/{{layer}}/{{criterion}}/{{removal}}/k{{ks}}.log",
    wildcard_constraints:
        layer=LAST,
    cache: CACHED
    # One evaluation takes less time than its submission to a cluster. The profile sets how many are submitted together.
    group:
        "evaluations"
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(500),
        # All K of 10,000 inputs take a second. The rest is for starting Python and a slow file system.
        runtime=grown(5),
    params:
        script=script("eval_pruned"),
        code=code("eval_pruned", OF_TASK),
        # Two evaluations can have the same input files. These parameters distinguish them.
        task=config["task"],
        dataset=DATASET,
        seed="{seed}",
        layer="{layer}",
        criterion="{criterion}",
        removal="{removal}",
        ks=lambda w: ks_of(w.layer, w.ks),
    shell:
        "python {params.script:q} --features {input.features:q} --labels {input.labels:q} --weights {input.weights:q}"
        " --mean-features {input.mean_features:q} --ranking {input.ranking:q} --partial-sums {input.partial_sums:q}"
        " --task {params.task} --dataset {params.dataset} --seed {params.seed} --layer {params.layer}"
        " --criterion {params.criterion}"
        " --removal {params.removal} --k {params.ks} --output {output:q} --log {log:q} --settings {params.code:q}"


# For a convolution before the last: the rest of the network runs in torch, starting from the stored maps.
rule eval_early:
    input:
        features=FEATURES,
        labels=f"{SEED}/labels/test.npy",
        weights=rules.train.output.weights,
        mean_features=lambda w: mean_features([w.removal]),
        ranking=RANKING,
    output:
        ROWS,
    log:
        f"{SEED}/logs/eval_early/{{layer}}/{{criterion}}/{{removal}}/k{{ks}}.log",
    wildcard_constraints:
        layer="|".join([layer for layer in LAYERS if layer != LAST]) or "(?!)",
    cache: CACHED
    group:
        "early_evaluations"
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        mem_mb=grown(2000),
        runtime=grown(10),
    params:
        script=script("eval_early"),
        code=code("eval_early", OF_TASK),
        settings=made_with("threads"),
        torch_threads=config["threads"],
        task=config["task"],
        dataset=DATASET,
        seed="{seed}",
        layer="{layer}",
        criterion="{criterion}",
        removal="{removal}",
        ks=lambda w: ks_of(w.layer, w.ks),
    shell:
        "python {params.script:q} --features {input.features:q} --labels {input.labels:q} --weights {input.weights:q}"
        " --mean-features {input.mean_features:q} --ranking {input.ranking:q} --threads {params.torch_threads}"
        " --task {params.task} --dataset {params.dataset} --seed {params.seed} --layer {params.layer}"
        " --criterion {params.criterion}"
        " --removal {params.removal} --k {params.ks} --output {output:q} --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"
