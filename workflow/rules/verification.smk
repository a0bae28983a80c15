# Verification: networks whose channels are really removed, run from the images, must give the rows of the sweep.


rule verify_surgery:
    input:
        model=MODEL,
        layer=LAYER_FILE,
        split=split_files("test"),
        features=activations("test", "features.npy"),
        mean_features=mean_features(*study.removals),
        # The mean maps are measured again.
        val=split_files("val") if mean_features(*study.removals) else [],
        calibration=lambda w: study.calibration(w.layer, *study.verified_variants(w.layer, w.target), images=True),
        rankings=lambda w: expand(RANKING, criterion=study.verified_rankings(w.target), **w),
        rows=lambda w: study.verified_rows(**w),
    output:
        f"{LAYER}/verification{{target}}.csv",
    log:
        f"{SEED}/logs/verify_surgery/{{layer}}{{target}}.log",
    cache: CACHED
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    params:
        settings=lambda w: settings.keys("preprocess", "verification", "threads")
        + code("verify_surgery", *study.modules_of_evaluation(w.layer, *study.verified_variants(w.layer, w.target))),
        options=lambda w: options.verification(int(w.seed), w.layer, w.target),
        # Patterns, not the files: a study has too many files for one command line. The study is left open: studies of
        # different names share their verification through a cache.
        rankings=lambda w: options.pattern(RANKING, study="{study}", seed=w.seed, layer=w.layer),
        rows=lambda w: options.pattern(ROWS, study="{study}", seed=w.seed, layer=w.layer),
    shell:
        command("verify_surgery") + " --model {input.model:q} --split {input.split:q} --val {input.val:q}"
        " --features {input.features:q} --layer {input.layer:q} --mean-features {input.mean_features:q}"
        " --calibration {input.calibration:q}"
        " --ranking {params.rankings:q} --rows {params.rows:q} --study {wildcards.study} {params.options:q}"
        " --output {output:q}"
