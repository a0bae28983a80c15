# From a network to one of its layers: what jobs without torch need to know of it, and its activations on one split.


# The graph of the network contains the layer. All later jobs read this file; few of them read the network.
rule describe_layer:
    input:
        model=MODEL,
        # A layer that a target names can be one that the network does not have.
        plan=lambda w: after_plan(w.layer),
    output:
        LAYER_FILE,
    log:
        f"{SEED}/logs/describe_layer/{{layer}}.log",
    cache: CACHED
    priority: 1
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(5),
    params:
        script=script("describe_layer"),
        code=code("describe_layer"),
        network=lambda w: network_options(),
        settings=lambda w: settings_of("network.leaf_modules"),
        layer="{layer}",
    shell:
        "python {params.script:q} --model {input.model:q} --layer {params.layer:q} --output {output:q} --log {log:q}"
        " {params.network:q} --settings {params.settings:q} {params.code:q}"


rule collect_activations:
    input:
        model=MODEL,
        images=f"{SEED}/images/{{split}}.npy",
        inputs=f"{SEED}/inputs/{{split}}.npy",
        labels=f"{SEED}/labels/{{split}}.npy",
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
        network=lambda w: network_options(),
        settings=settings_of("preprocess", "activations", "device", "threads"),
        batch=options(config["activations"]),
        stored=config["sweep"]["stored_mb"],
        device=config["device"],
        torch_threads=config["threads"],
        preprocess=options(config["preprocess"]),
        layer="{layer}",
        # A parameter, so that the cache has one entry per split: the pairs of all splits come from one job.
        split="{split}",
    shell:
        "python {params.script:q} --model {input.model:q} --images {input.images:q} --inputs {input.inputs:q}"
        " --labels {input.labels:q} {params.preprocess:q} {params.network:q}"
        " --layer {params.layer:q} {params.batch:q} --stored-mb {params.stored}"
        " --device {params.device} --threads {params.torch_threads}"
        f" --folder {WRITTEN}/seed{{wildcards.seed}}/{{params.layer:q}}/activations/{{params.split}}"
        " --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"


# The maps of some pairs, for criteria that read single maps. All pairs would take too long.
rule sample_maps:
    input:
        model=MODEL,
        images=f"{SEED}/images/{{split}}.npy",
        inputs=f"{SEED}/inputs/{{split}}.npy",
        labels=f"{SEED}/labels/{{split}}.npy",
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
        network=lambda w: network_options(),
        settings=settings_of(
            "preprocess",
            "activations",
            "device",
            "threads",
            "ranking.sampled_pairs",
            "ranking.split",
            "ranking.measure_at",
        ),
        batch=options(config["activations"]),
        device=config["device"],
        torch_threads=config["threads"],
        preprocess=options(config["preprocess"]),
        # A parameter, so that the cache has one entry per split: the pairs of all splits come from one job.
        split="{split}",
        layer="{layer}",
        point="{point}",
        sampled=config["ranking"]["sampled_pairs"],
        seed="{seed}",
    shell:
        "python {params.script:q} --model {input.model:q} --images {input.images:q} --inputs {input.inputs:q}"
        " --labels {input.labels:q} {params.preprocess:q} {params.network:q}"
        " --layer {params.layer:q} --point {params.point} --count {params.sampled} --seed {params.seed} {params.batch:q}"
        " --device {params.device} --threads {params.torch_threads} --output {output:q} --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"
