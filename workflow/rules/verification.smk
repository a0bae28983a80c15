# The proof: networks with channels really cut out, run from the images, give the rows of the sweep.


rule verify_surgery:
    input:
        model=rules.train.output.model,
        weights=rules.train.output.weights,
        images="results/{dataset}/seed{seed}/images/test.npy",
        pairs="results/{dataset}/seed{seed}/pairs/test.npy",
        features="results/{dataset}/seed{seed}/activations/test/features.npy",
        mean_features=mean_features(VERIFIED_REMOVALS),
        rankings=expand(RANKING, criterion=CRITERIA, allow_missing=True),
        rows=expand(
            ROWS, criterion=CRITERIA, removal=VERIFIED_REMOVALS, ks=sorted(set(VERIFIED_PACKS)), allow_missing=True
        ),
    output:
        "results/{dataset}/seed{seed}/verification.csv",
    log:
        "results/{dataset}/seed{seed}/logs/verify_surgery.log",
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    params:
        script=script("verify_surgery"),
        code=code("verify_surgery"),
        # Patterns and not the files, of which a command line holds no more than some thousands.
        rankings=lambda w: template(RANKING, seed=w.seed),
        rows=lambda w: template(ROWS, seed=w.seed),
        criteria=CRITERIA,
        removals=VERIFIED_REMOVALS,
        packs=VERIFIED_PACKS,
        tolerance=config["verification"]["tolerance"],
        torch_threads=config["threads"],
    shell:
        "python {params.script:q} --model {input.model:q} --images {input.images:q} --pairs {input.pairs:q}"
        " --features {input.features:q} --weights {input.weights:q} --mean-features {input.mean_features:q}"
        " --ranking {params.rankings:q} --rows {params.rows:q} --criteria {params.criteria:q}"
        " --removals {params.removals:q} --packs {params.packs:q} --tolerance {params.tolerance} --threads {params.torch_threads}"
        " --output {output:q} --log {log:q}"
