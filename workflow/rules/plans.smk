# From the curves of all layers on the validation inputs to a plan for the whole network, and its evaluation.

BUDGET = next(key for key in ("macs", "params", "tolerance") if config["plan"][key] is not None)


# Parameters and MACs without channels of several layers. Only shapes matter, so nothing is trained.
rule plan_costs:
    input:
        **{
            kind: expand(f"{SEED}/{kind}/train.npy", seed=SEEDS[0], allow_missing=True)
            for kind in ("images", "inputs", "labels")
        },
        plan=lambda w: after_plan(),
    output:
        "results/{study}/plan_costs.csv",
    log:
        "results/{study}/logs/plan_costs.log",
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(30),
    params:
        script=script("plan_costs"),
        code=code("plan_costs"),
        # Functions, because the braces in arguments of a user's network are not wildcards.
        settings=lambda w: [*settings_of_network(), *settings_of("network.leaf_modules")],
        network=lambda w: network_options() or SHAPE,
        layers=lambda w: list(planned_layers()),
    shell:
        "python {params.script:q} --images {input.images:q} --inputs {input.inputs:q} --labels {input.labels:q}"
        " {params.network:q} --layers {params.layers:q} --output {output:q} --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"


# A plan is chosen on the validation inputs. The labels of test inputs are read by its evaluation alone.
use rule eval_pruned as eval_validation with:
    input:
        features=f"{IN_LAYER}/activations/val/features.npy",
        labels=f"{SEED}/labels/val.npy",
        layer=LAYER_FILE,
        mean_features=[],
        ranking=RANKING,
        partial_sums=[],
        model=lambda w: model_of(w.layer),
        images=lambda w: inputs_for(w.layer, "images", "val"),
        inputs=lambda w: inputs_for(w.layer, "inputs", "val"),
    output:
        VALIDATION,
    log:
        f"{SEED}/logs/eval_validation/{{layer}}/{{criterion}}.log",
    params:
        removal="structural",
        # One job evaluates all K, also in numpy.
        ks=lambda w: sum(k_batches_of(w.layer).values(), []),


rule choose_plan:
    input:
        costs=rules.plan_costs.output,
        rows=lambda w: rows_for_plan(w.seed),
    output:
        f"{SEED}/plan_choice.csv",
    log:
        f"{SEED}/logs/choose_plan.log",
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(500),
        runtime=grown(10),
    params:
        script=script("choose_plan"),
        code=code("choose_plan"),
        settings=settings_of("plan.macs", "plan.params", "plan.tolerance", "plan.criterion"),
        # A pattern, because a network can have hundreds of layers.
        rows=lambda w: template(VALIDATION, seed=w.seed, criterion=config["plan"]["criterion"]),
        budget=BUDGET,
        value=config["plan"][BUDGET],
    shell:
        "python {params.script:q} --costs {input.costs:q} --rows {params.rows:q} --budget {params.budget}"
        " --value {params.value} --output {output:q} --log {log:q} --settings {params.settings:q} {params.code:q}"


# The whole plan at once: Torch-Pruning removes the channels of all layers from the network, which runs from the images.
rule evaluate_plan:
    input:
        model=MODEL,
        images=f"{SEED}/images/test.npy",
        inputs=f"{SEED}/inputs/test.npy",
        labels=f"{SEED}/labels/test.npy",
        costs=rules.plan_costs.output,
        choice=rules.choose_plan.output,
        rankings=lambda w: expand(RANKING, layer=planned_layers(), criterion=config["plan"]["criterion"], **w),
    output:
        f"{SEED}/plan_evaluation.csv",
    log:
        f"{SEED}/logs/evaluate_plan.log",
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        mem_mb=grown(2000),
        runtime=grown(30),
    params:
        script=script("evaluate_plan"),
        code=code("evaluate_plan", OF_TASK),
        settings=settings_of("preprocess", "activations", "threads", "plan.random_draws"),
        network=lambda w: network_options(),
        preprocess=options(config["preprocess"]),
        batch=options(config["activations"]),
        ranking=lambda w: template(RANKING, seed=w.seed, criterion=config["plan"]["criterion"]),
        criterion=config["plan"]["criterion"],
        draws=config["plan"]["random_draws"],
        task=config["task"],
        dataset=DATASET_NAME,
        seed="{seed}",
        torch_threads=config["threads"],
    shell:
        "python {params.script:q} --model {input.model:q} --images {input.images:q} --inputs {input.inputs:q}"
        " --labels {input.labels:q} {params.preprocess:q} {params.batch:q} {params.network:q}"
        " --costs {input.costs:q} --choice {input.choice:q} --ranking {params.ranking:q}"
        " --criterion {params.criterion} --draws {params.draws} --task {params.task} --dataset {params.dataset:q}"
        " --seed {params.seed} --threads {params.torch_threads} --output {output:q} --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"


rule aggregate_plan:
    input:
        choices=lambda w: expand(rules.choose_plan.output, study=STUDY, seed=seeds_of(w.study)),
        evaluations=lambda w: expand(rules.evaluate_plan.output, study=STUDY, seed=seeds_of(w.study)),
        # The settings have the values of K.
        plan=lambda w: after_plan(),
    output:
        table="results/{study}/plan.csv",
        settings="results/{study}/plan.csv.settings",
        layers="results/{study}/plan_layers.csv",
        layers_settings="results/{study}/plan_layers.csv.settings",
        text=report(
            "results/{study}/plan.txt",
            category="Figures",
            subcategory="All networks",
            labels={"figure": "plan, in numbers"},
            caption="../report/plan.rst",
        ),
    log:
        "results/{study}/logs/aggregate_plan.log",
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("aggregate_plan"),
        code=code("aggregate_plan", OF_TASK),
        settings=lambda w: [*setting_of_seeds(w.study), *settings_of("sweep.ks")],
        choices=lambda w: template(rules.choose_plan.output[0]),
        evaluations=lambda w: template(rules.evaluate_plan.output[0]),
        seeds=lambda w: seeds_of(w.study),
        task=config["task"],
        budget=BUDGET,
        value=config["plan"][BUDGET],
    shell:
        "python {params.script:q} --choices {params.choices:q} --evaluations {params.evaluations:q} --seeds {params.seeds}"
        " --task {params.task} --budget {params.budget} --value {params.value}"
        " --table {output.table:q} --layers {output.layers:q} --text {output.text:q} --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"
