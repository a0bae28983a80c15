# From a network to one of its layers: what jobs without torch need to know of it, and its activations on one split.

ACTIVATIONS = f"{LAYER}/activations/{{split}}"


# The graph of the network contains the layer. All later jobs read this file; few of them read the network.
rule describe_layer:
    input:
        model=MODEL,
        # A layer that a target names can be one that the network does not have.
        layers=lambda w: layers_known(w.layer),
    output:
        LAYER_FILE,
    log:
        f"{SEED}/logs/describe_layer/{{layer}}.log",
    cache: CACHED
    priority: 1
    conda:
        "../envs/torch.yaml"
    params:
        settings=lambda w: settings_of("network.leaf_modules"),
        code=code("describe_layer"),
        network=lambda w: study.network(),
        layer="{layer}",
    shell:
        f"python {SCRIPTS}/describe_layer.py {LOGGED}"
        " --model {input.model:q} --network {params.network:q} --layer {params.layer:q} --output {output:q}"


rule collect_activations:
    input:
        model=MODEL,
        split=split_files("{split}"),
    output:
        features=f"{ACTIVATIONS}/features.npy",
        mean_features=f"{ACTIVATIONS}/mean_features.npy",
        mean_maps=f"{ACTIVATIONS}/mean_maps.npy",
        channels=f"{ACTIVATIONS}/channels.csv",
    log:
        f"{SEED}/logs/collect_activations/{{layer}}/{{split}}.log",
    cache: CACHED
    priority: 1
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        gpu=GPUS,
    params:
        settings=settings_of("preprocess", "activations", "device", "threads"),
        code=code("collect_activations"),
        torch=lambda w: study.torch_options(),
        device=config["device"],
        stored=config["sweep"]["stored_mb"],
        layer="{layer}",
        # A parameter, so that the cache has one entry per split: the inputs of all splits come from one job.
        split="{split}",
    shell:
        f"python {SCRIPTS}/collect_activations.py {LOGGED}"
        " --model {input.model:q} {params.torch:q} --device {params.device} --split {input.split:q}"
        " --layer {params.layer:q} --stored-mb {params.stored}"
        ""
        f" --folder {FOLDER}/seed{{wildcards.seed}}/{{params.layer:q}}/activations/{{params.split}}"


# The maps of some inputs, for criteria that read single maps. All inputs would take too long.
rule sample_maps:
    input:
        model=MODEL,
        split=split_files("{split}"),
    output:
        f"{ACTIVATIONS}/maps_{{point}}.npy",
    log:
        f"{SEED}/logs/sample_maps/{{layer}}/{{split}}_{{point}}.log",
    cache: CACHED
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        gpu=GPUS,
    params:
        settings=settings_of("preprocess", "activations", "device", "threads", "ranking.sampled_pairs")
        + settings_of("ranking.split", "ranking.measure_at"),
        code=code("sample_maps"),
        torch=lambda w: study.torch_options(),
        device=config["device"],
        sampled=config["ranking"]["sampled_pairs"],
        layer="{layer}",
        point="{point}",
        split="{split}",
        seed="{seed}",
    shell:
        f"python {SCRIPTS}/sample_maps.py {LOGGED}"
        " --model {input.model:q} {params.torch:q} --device {params.device} --split {input.split:q}"
        " --layer {params.layer:q} --point {params.point} --count {params.sampled} --seed {params.seed} --output {output:q}"
