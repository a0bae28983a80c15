# From a ranking to one row of the curve for each number K of removed channels.


rule sum_channels:
    input:
        features=FEATURES,
        layer=LAYER_FILE,
        ranking=RANKING,
    output:
        # Not temp(): when a further K needs the sums, Snakemake (9.27) would run all finished evaluations again.
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
        "python {params.script:q} --features {input.features:q} --layer {input.layer:q}"
        " --ranking {input.ranking:q} --output {output:q} --log {log:q} --settings {params.code:q}"


rule eval_pruned:
    input:
        features=FEATURES,
        labels=f"{SEED}/labels/test.npy",
        layer=LAYER_FILE,
        mean_features=lambda w: mean_features([w.removal]),
        ranking=RANKING,
        partial_sums=stored_sums,
        model=lambda w: model_of(w.layer),
        images=lambda w: inputs_for(w.layer, "images", "test"),
        inputs=lambda w: inputs_for(w.layer, "inputs", "test"),
    output:
        ROWS,
    log:
        f"{SEED}/logs/eval_pruned/{{layer}}/{{criterion}}/{{removal}}/k{{ks}}.log",
    cache: CACHED
    # One evaluation in numpy takes less time than its submission to a cluster. The profile sets how many are submitted
    # together. In torch, one job evaluates all K of a ranking.
    group:
        lambda w: {"numpy": "evaluations", "torch": "torch_evaluations"}[likely_backend(w.layer)]
    conda:
        lambda w: {"numpy": "../envs/sweep.yaml", "torch": "../envs/torch.yaml"}[likely_backend(w.layer)]
    threads: lambda w: threads_with(likely_backend(w.layer))
    resources:
        # In numpy, all K of 10,000 inputs take a second. The rest is for starting Python and a slow file system.
        mem_mb=lambda w, attempt: {"numpy": 500, "torch": 2000}[likely_backend(w.layer)] * attempt,
        runtime=lambda w, attempt: {"numpy": 5, "torch": 10}[likely_backend(w.layer)] * attempt,
    params:
        script=script("eval_pruned"),
        # Only the backend that is used: an edit to the other one does not trigger a re-run.
        code=lambda w: code("eval_pruned", OF_TASK, *backends(w.layer)),
        backend=lambda w: backend_options(w.layer),
        network=lambda w: torch_options(w.layer),
        # Two evaluations can have the same input files. These parameters distinguish them.
        task=config["task"],
        dataset=DATASET_NAME,
        seed="{seed}",
        criterion="{criterion}",
        removal="{removal}",
        ks=ks_of,
    shell:
        "python {params.script:q} --features {input.features:q} --labels {input.labels:q} --layer {input.layer:q}"
        " --mean-features {input.mean_features:q} --ranking {input.ranking:q} --partial-sums {input.partial_sums:q}"
        " --model {input.model:q} --images {input.images:q} --inputs {input.inputs:q} {params.network:q} --task {params.task} --dataset {params.dataset:q}"
        " --seed {params.seed} --criterion {params.criterion} --removal {params.removal} --k {params.ks}"
        " --output {output:q} --log {log:q} {params.backend:q} {params.code:q}"
