# From inputs and labels to a network: its layers before it is trained, and its weights.


# The seed's network, in which later rules find their layers.
MODEL = f"{SEED}/model.pt"
# The shape of the built-in network.
SHAPE = options({key: config["network"][key] for key in ("channels", "kernel_size", "hidden", "dropout")})


# Which layers of the network can be pruned, and what that costs. Only shapes matter, so nothing is trained.
checkpoint describe_network:
    input:
        **{
            kind: expand(f"{SEED}/{kind}/train.npy", seed=SEEDS[0], allow_missing=True)
            for kind in ("images", "inputs", "labels")
        },
    output:
        table=LAYER_TABLE,
        settings=f"{LAYER_TABLE}.settings",
        text=LAYER_TEXT,
    log:
        "results/{study}/logs/describe_network.log",
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(10),
    params:
        script=script("describe_network"),
        code=code("describe_network"),
        # Functions, because the braces in arguments of a user's network are not wildcards.
        settings=lambda w: [*settings_of_network(), *settings_of("network.leaf_modules")],
        network=lambda w: network_options() or SHAPE,
    shell:
        "python {params.script:q} --images {input.images:q} --inputs {input.inputs:q} --labels {input.labels:q}"
        " {params.network:q} --table {output.table:q} --text {output.text:q} --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"


# Not with --until, if the layers are known: see `last_rules`, which is not known here.
if BY_CHECKPOINT and any(word.startswith(("--until", "-U")) for word in sys.argv) and current_table():
    BY_CHECKPOINT = False
# Only where jobs wait for it: for a checkpoint, each job of a cluster would look through all rules.
rules.describe_network.rule.is_checkpoint = BY_CHECKPOINT


# What the network depends on, and what it must reach.
RECIPE = {key: value for key, value in config["training"].items() if key != "require"}
REQUIRE = config["training"]["require"]
# Their recalls are columns of the history.
RECALLS = [f"{name}={label}" for name, label in TASK.RECALLS.items()]
HISTORY = f"{SEED}/training.csv"


if config["network"]["weights"]:

    # The weights of a user's network come from a file, and nothing is trained.
    rule load_weights:
        input:
            **{f"val_{kind}": f"{SEED}/{kind}/val.npy" for kind in ("images", "inputs", "labels")},
            # All classes occur in them.
            train_labels=f"{SEED}/labels/train.npy",
            # As in the rule `train`.
            plan=lambda w: before_training(),
        output:
            model=MODEL,
            history=HISTORY,
        log:
            "results/{study}/seed{seed}/logs/load_weights.log",
        cache: CACHED
        priority: 2
        conda:
            "../envs/torch.yaml"
        threads: config["threads"]
        resources:
            mem_mb=grown(2000),
            runtime=grown(15),
            gpu=GPUS,
            # Not a parameter: moving the file does not trigger a re-run.
            weights=lambda w: path_of_weights(config["network"]["weights"], int(w.seed)),
        params:
            script=script("load_weights"),
            code=code("load_weights"),
            settings=lambda w: [
                *settings_of("preprocess", "network.weights", "device", "threads"),
                *settings_of_network(),
                *weights_settings([WEIGHTS[int(w.seed)]]),
            ],
            preprocess=options(config["preprocess"]),
            network=lambda w: network_options(leaf_modules=False),
            recalls=RECALLS,
            input_name=TASK.INPUTS,
            device=config["device"],
            torch_threads=config["threads"],
            seed="{seed}",
            # As in the rule `train`.
            machine=lambda w, threads: MACHINE,
            require=lambda w, threads: REQUIRE,
        shell:
            "python {params.script:q} --val-images {input.val_images:q} --val-inputs {input.val_inputs:q}"
            " --val-labels {input.val_labels:q} --train-labels {input.train_labels:q} {params.preprocess:q}"
            " {params.network:q} --weights {resources.weights:q}"
            " --require {params.require} --recalls {params.recalls:q} --input-name {params.input_name}"
            " --device {params.device} --threads {params.torch_threads} --seed {params.seed} --log {log:q}"
            " --model {output.model:q} --history {output.history:q}"
            " --settings {params.settings:q} {params.code:q}"

else:

    rule train:
        input:
            # Named inputs: train_images, train_inputs, train_labels, val_images, …
            **{
                f"{split}_{kind}": f"{SEED}/{kind}/{split}.npy"
                for split in ("train", "val")
                for kind in ("images", "inputs", "labels")
            },
            # A network is not trained for a layer that it does not have.
            plan=lambda w: before_training(),
        output:
            model=MODEL,
            history=HISTORY,
        log:
            "results/{study}/seed{seed}/logs/train.log",
        cache: CACHED
        # The longest jobs start first. Evaluations of finished networks use the free cores while the last network is trained.
        priority: 2
        conda:
            "../envs/torch.yaml"
        threads: config["threads"]
        resources:
            mem_mb=grown(2000),
            runtime=grown(max(60, 10 * config["training"]["epochs"])),
            gpu=GPUS,
        params:
            script=script("train"),
            code=code("train"),
            settings=lambda w: [
                *settings_of("preprocess", "network.weights", "training", "device", "threads"),
                *settings_of_network(),
            ],
            preprocess=options(config["preprocess"]),
            network=lambda w: network_options(leaf_modules=False) or SHAPE,
            recipe=options(RECIPE),
            recalls=RECALLS,
            input_name=TASK.INPUTS,
            device=config["device"],
            torch_threads=config["threads"],
            seed="{seed}",
            # Functions of `threads`: Snakemake does not compare such parameters with those of existing results, but they are part of
            # the cache key. A study that moves to another machine keeps its networks, and so does a study with another requirement,
            # if they reach it (run.smk).
            machine=lambda w, threads: MACHINE,
            require=lambda w, threads: REQUIRE,
        shell:
            "python {params.script:q} --train-images {input.train_images:q} --train-inputs {input.train_inputs:q}"
            " --train-labels {input.train_labels:q} --val-images {input.val_images:q} --val-inputs {input.val_inputs:q}"
            " --val-labels {input.val_labels:q} {params.preprocess:q} {params.network:q} {params.recipe:q}"
            " --require {params.require} --recalls {params.recalls:q} --input-name {params.input_name}"
            " --device {params.device} --threads {params.torch_threads} --seed {params.seed} --log {log:q}"
            " --model {output.model:q} --history {output.history:q}"
            " --settings {params.settings:q} {params.code:q}"
