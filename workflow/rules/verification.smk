# Verification: networks whose channels are really removed, run from the images, must give the rows of the sweep.


rule verify_surgery:
    input:
        model=MODEL,
        layer=LAYER_FILE,
        images=f"{SEED}/images/test.npy",
        inputs=f"{SEED}/inputs/test.npy",
        labels=f"{SEED}/labels/test.npy",
        features=FEATURES,
        mean_features=mean_features(REMOVALS),
        # The mean maps are measured again.
        val_images=for_means(f"{SEED}/images/val.npy"),
        val_inputs=for_means(f"{SEED}/inputs/val.npy"),
        val_labels=for_means(f"{SEED}/labels/val.npy"),
        rankings=lambda w: expand(RANKING, criterion=verified_orders(w.target), **w),
        rows=verified_rows,
    output:
        f"{IN_LAYER}/verification{{target}}.csv",
    log:
        f"{SEED}/logs/verify_surgery/{{layer}}{{target}}.log",
    cache: CACHED
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        mem_mb=grown(2000),
        runtime=grown(30),
    params:
        script=script("verify_surgery"),
        code=lambda w: code("verify_surgery", OF_TASK, *backends(w.layer)),
        network=lambda w: network_options(),
        task=config["task"],
        settings=settings_of("preprocess", "verification", "threads"),
        # Patterns, not the files: a study has too many files for one command line.
        # The study is left open: studies of different names share their verification through a cache.
        rankings=lambda w: template(RANKING, study="{study}", seed=w.seed, layer=w.layer),
        rows=lambda w: template(ROWS, study="{study}", seed=w.seed, layer=w.layer),
        criteria=lambda w: verified_orders(w.target),
        removals=lambda w: verified_removals(w.layer),
        verified_by=lambda w: plan().verified_by.get(w.layer, SURGERY),
        ks=lambda w: verified_words(w, 0),
        k_batches=lambda w: verified_words(w, 1),
        tolerance=config["verification"]["tolerance"],
        torch_threads=config["threads"],
        preprocess=options(config["preprocess"]),
        batch=options(config["activations"]),
    shell:
        "python {params.script:q} --model {input.model:q} --images {input.images:q} --inputs {input.inputs:q}"
        " --labels {input.labels:q} {params.preprocess:q} {params.batch:q} {params.network:q}"
        " --features {input.features:q} --layer {input.layer:q}"
        " --mean-features {input.mean_features:q} --val-images {input.val_images:q} --val-inputs {input.val_inputs:q}"
        " --val-labels {input.val_labels:q} --ranking {params.rankings:q} --rows {params.rows:q}"
        " --study {wildcards.study} --task {params.task}"
        " --criteria {params.criteria:q} --removals {params.removals:q} --ks {params.ks} --k-batches {params.k_batches:q}"
        " --verified-by {params.verified_by} --tolerance {params.tolerance} --threads {params.torch_threads} --output {output:q} --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"
