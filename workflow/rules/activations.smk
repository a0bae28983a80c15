# From a network to one of its layers: what jobs without torch need to know of it, and its activations on one split.

MEASURED_WITH = settings.keys("preprocess", "activations", "device", "threads")


# The graph of the network contains the layer. All later jobs read this file; few of them read the network.
rule describe_layer:
    input:
        model=MODEL,
        # A layer that a target names can be one that the network does not have.
        wait=lambda w: layers_known(w.layer),
    output:
        LAYER_FILE,
    log:
        f"{SEED}/logs/describe_layer/{{layer}}.log",
    cache: CACHED
    priority: 1
    conda:
        "../envs/torch.yaml"
    params:
        settings=lambda w: settings.keys("network.leaf_modules") + code("describe_layer"),
        options=lambda w: flags(network=options.network(), layer=w.layer),
    shell:
        command("describe_layer") + " --model {input.model:q} {params.options:q} --output {output:q}"


rule collect_activations:
    input:
        model=MODEL,
        split=split_files("{split}"),
    output:
        features=activations("{split}", "features.npy"),
        mean_features=activations("{split}", "mean_features.npy"),
        mean_maps=activations("{split}", "mean_maps.npy"),
        channels=activations("{split}", "channels.csv"),
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
        options=lambda w: options.torch()
        + flags(device=config["device"], layer=w.layer, stored_mb=config["sweep"]["stored_mb"]),
        # A parameter, so that the cache has one entry per split: the inputs of all splits come from one job.
        split="{split}",
    shell:
        command("collect_activations") + " --model {input.model:q} --split {input.split:q} {params.options:q}"
        f" --folder {FOLDER}/seed{{wildcards.seed}}/{{wildcards.layer:q}}/activations/{{params.split}}"


# What repairs are fitted to: some training inputs, what evaluations read of them, and the statistics of what each layer
# that reads the channels gets.
rule calibrate:
    input:
        model=MODEL,
        split=split_files("train"),
    output:
        **{name: f"{CALIBRATION}/{name}.npy" for name in ("moments", "features", "inputs", "labels", "shares")},
    log:
        f"{SEED}/logs/calibrate/{{layer}}.log",
    cache: CACHED
    priority: 1
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        gpu=GPUS,
    params:
        settings=MEASURED_WITH + settings.keys("repair") + code("calibrate"),
        options=lambda w: options.repair() + flags(layer=w.layer, seed=w.seed),
    shell:
        command("calibrate") + " --model {input.model:q} --split {input.split:q} {params.options:q}"
        f" --folder {FOLDER}/seed{{wildcards.seed}}/{{wildcards.layer:q}}/calibration"


# The maps of some inputs, for criteria that read single maps. All inputs would take too long.
rule sample_maps:
    input:
        model=MODEL,
        split=split_files("{split}"),
    output:
        activations("{split}", "maps_{point}.npy"),
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
        + settings.keys("ranking.sampled_pairs", "ranking.split", "ranking.measure_at")
        + code("sample_maps"),
        options=lambda w: options.torch()
        + flags(device=config["device"], layer=w.layer, point=w.point, seed=w.seed)
        + flags(count=config["ranking"]["sampled_pairs"]),
        # A parameter, as of collect_activations.
        split="{split}",
    shell:
        command("sample_maps") + " --model {input.model:q} --split {input.split:q} {params.options:q}"
        " --output {output:q}"
