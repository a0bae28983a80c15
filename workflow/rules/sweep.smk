# From a ranking to one row of the curve for each number K of removed channels.


rule sum_channels:
    input:
        features="results/{dataset}/seed{seed}/activations/test/features.npy",
        weights=rules.train.output.weights,
        ranking=RANKING,
    output:
        "results/{dataset}/seed{seed}/partial_sums/{criterion}.npy",
    log:
        "results/{dataset}/seed{seed}/logs/sum_channels/{criterion}.log",
    conda:
        "../envs/sweep.yaml"
    params:
        script=script("sum_channels"),
        code=code("sum_channels"),
    shell:
        "python {params.script:q} --features {input.features:q} --weights {input.weights:q}"
        " --ranking {input.ranking:q} --output {output:q} --log {log:q}"


rule eval_pruned:
    input:
        features="results/{dataset}/seed{seed}/activations/test/features.npy",
        pairs="results/{dataset}/seed{seed}/pairs/test.npy",
        weights=rules.train.output.weights,
        mean_features=lambda w: expand(mean_features([w.removal]), **w),
        ranking=RANKING,
        partial_sums=rules.sum_channels.output,
    output:
        ROWS,
    log:
        "results/{dataset}/seed{seed}/logs/eval_pruned/{criterion}/{removal}/k{ks}.log",
    conda:
        "../envs/sweep.yaml"
    params:
        script=script("eval_pruned"),
        code=code("eval_pruned"),
        # Also what tells two evaluations apart: their inputs are the same files.
        seed="{seed}",
        criterion="{criterion}",
        removal="{removal}",
        # A K that isn't the study's is asked for by the proof alone.
        ks=lambda w: PACKS[w.ks] if w.ks in PACKS else [int(w.ks)],
    shell:
        "python {params.script:q} --features {input.features:q} --pairs {input.pairs:q} --weights {input.weights:q}"
        " --mean-features {input.mean_features:q} --ranking {input.ranking:q} --partial-sums {input.partial_sums:q}"
        " --dataset {wildcards.dataset} --seed {params.seed} --criterion {params.criterion}"
        " --removal {params.removal} --k {params.ks} --output {output:q} --log {log:q}"
