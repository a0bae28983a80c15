# From activations to the order in which a criterion removes channels.


rule rank_channels:
    input:
        # The criterion's own file and no other's: an edit to one runs that one again.
        channels=f"results/{{dataset}}/seed{{seed}}/activations/{config['ranking']['split']}/channels.csv",
        weights=rules.train.output.weights,
        # Criteria that read labels read those of the validation pairs, never of the test pairs.
        features=lambda w: expand(validation("activations/val/features.npy", w.criterion), **w),
        pairs=lambda w: expand(validation("pairs/val.npy", w.criterion), **w),
    output:
        RANKING,
    log:
        "results/{dataset}/seed{seed}/logs/rank_channels/{criterion}.log",
    conda:
        "../envs/sweep.yaml"
    threads: lambda w: config["threads"] if criteria.reads_labels(w.criterion) else 1
    params:
        script=script("rank_channels"),
        code=lambda w: code("rank_channels", f"criteria.{w.criterion}"),
        seed="{seed}",
        criterion="{criterion}",
    shell:
        "python {params.script:q} --criterion {params.criterion} --channels {input.channels:q}"
        " --weights {input.weights:q} --features {input.features:q} --pairs {input.pairs:q}"
        " --threads {threads} --seed {params.seed} --output {output:q} --log {log:q}"
