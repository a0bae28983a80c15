# From a network to what a convolution of it does on a split.


rule collect_activations:
    input:
        model=rules.train.output.model,
        images=f"{SEED}/images/{{split}}.npy",
        pairs=f"{SEED}/pairs/{{split}}.npy",
    output:
        features=f"{IN_LAYER}/activations/{{split}}/features.npy",
        mean_features=f"{IN_LAYER}/activations/{{split}}/mean_features.npy",
        mean_maps=f"{IN_LAYER}/activations/{{split}}/mean_maps.npy",
        channels=f"{IN_LAYER}/activations/{{split}}/channels.csv",
    log:
        f"{SEED}/logs/collect_activations/{{layer}}/{{split}}.log",
    cache: CACHED
    priority: 1
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        mem_mb=grown(2000),
        runtime=grown(15),
        gpu=GPUS,
    params:
        script=script("collect_activations"),
        code=code("collect_activations"),
        batch=options(config["activations"]),
        device=config["device"],
        torch_threads=config["threads"],
        layer="{layer}",
        folder=f"{IN_LAYER}/activations/{{split}}",
    shell:
        "python {params.script:q} --model {input.model:q} --images {input.images:q} --pairs {input.pairs:q}"
        " --layer {params.layer} {params.batch:q} --device {params.device} --threads {params.torch_threads}"
        " --folder {params.folder:q} --log {log:q}"


# Single maps of some pairs: criteria that look at each one cost more than statistics over all.
rule sample_maps:
    input:
        model=rules.train.output.model,
        images=f"{SEED}/images/{{split}}.npy",
        pairs=f"{SEED}/pairs/{{split}}.npy",
    output:
        f"{IN_LAYER}/activations/{{split}}/maps_{{point}}.npy",
    log:
        f"{SEED}/logs/sample_maps/{{layer}}/{{split}}_{{point}}.log",
    cache: CACHED
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        mem_mb=grown(2000),
        runtime=grown(15),
        gpu=GPUS,
    params:
        script=script("sample_maps"),
        code=code("sample_maps"),
        batch=options(config["activations"]),
        device=config["device"],
        torch_threads=config["threads"],
        # The same job makes the pairs of all splits: nothing else tells the maps of one from those of another.
        split="{split}",
        layer="{layer}",
        point="{point}",
        sampled=config["ranking"]["sampled_pairs"],
        seed="{seed}",
    shell:
        "python {params.script:q} --model {input.model:q} --images {input.images:q} --pairs {input.pairs:q}"
        " --layer {params.layer} --point {params.point} --count {params.sampled} --seed {params.seed} {params.batch:q}"
        " --device {params.device} --threads {params.torch_threads} --output {output:q} --log {log:q}"
