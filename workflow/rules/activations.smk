# From a network to one of its layers: what jobs without torch need to know of it, and its activations on one split.

ACTIVATIONS = f"{LAYER}/activations/{{split}}"
MEASURED_WITH = settings_of("preprocess", "activations", "device", "threads")


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
        settings=lambda w: settings_of("network.leaf_modules") + code("describe_layer"),
        network=lambda w: study.network(),
        layer="{layer}",
    shell:
        f"{command('describe_layer')}"
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
        settings=MEASURED_WITH + code("collect_activations"),
        torch=lambda w: study.torch_options(),
        # Parameters, so that the cache has one entry per layer and split: it does not look at wildcards, and the inputs of
        # all splits come from one job.
        layer="{layer}",
        split="{split}",
    shell:
        f"{command('collect_activations')} --device {config['device']} --stored-mb {config['sweep']['stored_mb']}"
        " --model {input.model:q} {params.torch:q} --split {input.split:q} --layer {params.layer:q}"
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
        settings=MEASURED_WITH
        + settings_of("ranking.sampled_pairs", "ranking.split", "ranking.measure_at")
        + code("sample_maps"),
        torch=lambda w: study.torch_options(),
        layer="{layer}",
        point="{point}",
        split="{split}",
    shell:
        f"{command('sample_maps')} --device {config['device']} --count {config['ranking']['sampled_pairs']}"
        " --model {input.model:q} {params.torch:q} --split {input.split:q} --layer {params.layer:q}"
        " --point {params.point} --seed {wildcards.seed} --output {output:q}"
