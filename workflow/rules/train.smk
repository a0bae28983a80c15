# From inputs and labels to a network: its layers before it is trained, and its weights.

# The same config trains other networks on another kind of machine, so the cache must not mix them. The key of all later
# steps contains that of the training. On a cluster, all nodes are assumed to be of one kind.
MACHINE = machine(config["device"])


# Which layers of the network can be pruned, and what that costs. Only shapes matter, so nothing is trained. The jobs of a
# user's network wait for this one; the layers of the built-in network follow from the config.
checkpoint describe_network:
    input:
        expand(split_files("train"), seed=study.seeds[0], allow_missing=True),
    output:
        table=LAYER_TABLE,
        settings=settings_files("layers"),
        text="results/{study}/layers.txt",
    log:
        "results/{study}/logs/describe_network.log",
    conda:
        "../envs/torch.yaml"
    params:
        # Functions, because the braces in JSON and in the arguments of a user's network are not wildcards.
        settings=lambda w: settings.network() + settings.keys("network.leaf_modules") + code("describe_network"),
        network=lambda w: options.network(),
    shell:
        command("describe_network") + " --split {input:q} --network {params.network:q}"
        " --table {output.table:q} --text {output.text:q}"


# With network.weights, the weights come from a file and nothing is trained.
rule train:
    input:
        train=split_files("train"),
        val=split_files("val"),
        # A network is not trained for a layer that it does not have. Not with `--until train`, which a job in a process of
        # its own does not know of.
        wait=lambda w: [] if "train" in until() or not workflow.is_main_process else layers_known(),
    output:
        model=MODEL,
        history=HISTORY,
    log:
        f"{SEED}/logs/train.log",
    cache: CACHED
    # The longest jobs start first. Evaluations of finished networks use the free cores while the last network is trained.
    priority: 2
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        runtime=lambda w, attempt: attempt * max(60, 10 * config["training"]["epochs"]),
        gpu=GPUS,
        # Not a parameter: moving the file does not trigger a re-run.
        weights=lambda w: path_of_weights(config["network"]["weights"], int(w.seed)),
    params:
        settings=lambda w: settings.training(int(w.seed)) + code("train", TASK[0]),
        options=lambda w: options.training(w.seed),
        # Functions of `threads`: Snakemake does not compare such parameters with those of existing results, but they are part of
        # the cache key. A study that moves to another machine keeps its networks, and so does a study with another requirement,
        # if they reach it (run.smk). The settings have the other keys of the recipe.
        machine=lambda w, threads: MACHINE,
        training=lambda w, threads: json.dumps(config["training"], sort_keys=True),
    shell:
        command("train") + " --train {input.train:q} --val {input.val:q} --weights {resources.weights:q}"
        " --training {params.training:q} {params.options:q} --model {output.model:q} --history {output.history:q}"
