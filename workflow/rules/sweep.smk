# From a ranking to one row of the curve for each number K of removed channels.


rule eval_pruned:
    input:
        features="results/{dataset}/seed{seed}/activations/test/features.npy",
        pairs="results/{dataset}/seed{seed}/pairs/test.npy",
        weights=rules.train.output.weights,
        mean_features=lambda w: expand(mean_features([w.removal]), **w),
        ranking=RANKING,
    output:
        ROW,
    log:
        "results/{dataset}/seed{seed}/logs/eval_pruned/{criterion}/{removal}/k{k}.log",
    conda:
        "../envs/sweep.yaml"
    params:
        script=script("eval_pruned"),
        code=code("eval_pruned"),
        # Also what tells two evaluations apart: their inputs are the same files.
        seed="{seed}",
        criterion="{criterion}",
        removal="{removal}",
        k="{k}",
    shell:
        "python {params.script:q} --features {input.features:q} --pairs {input.pairs:q} --weights {input.weights:q}"
        " --mean-features {input.mean_features:q} --ranking {input.ranking:q} --dataset {wildcards.dataset}"
        " --seed {params.seed} --criterion {params.criterion} --removal {params.removal} --k {params.k}"
        " --output {output:q} --log {log:q}"
