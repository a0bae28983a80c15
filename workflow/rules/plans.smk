# From the curves of all layers on the validation inputs to a plan for the whole network, and its evaluation.

PLANNED_BY, BUDGET = config["plan"]["criterion"], [study.budget, config["plan"][study.budget]]


# Parameters and MACs without channels of several layers. Only shapes matter, so nothing is trained.
rule plan_costs:
    input:
        split=expand(split_files("train"), seed=study.seeds[0], allow_missing=True),
        layers=lambda w: layers_known(),
    output:
        "results/{study}/plan_costs.csv",
    log:
        "results/{study}/logs/plan_costs.log",
    conda:
        "../envs/torch.yaml"
    params:
        settings=lambda w: [*study.settings_of_network(), *settings_of("network.leaf_modules")],
        code=code("plan_costs"),
        network=lambda w: study.network(),
        layers=lambda w: study.plan_layers,
    shell:
        f"python {SCRIPTS}/plan_costs.py {LOGGED}"
        " --split {input.split:q} --network {params.network:q} --layers {params.layers:q} --output {output:q}"


# A plan is chosen on the validation inputs. The labels of test inputs are read by its evaluation alone.
use rule eval_pruned as eval_validation with:
    input:
        features=features("val"),
        split=lambda w: study.evaluated_split("val", w.layer),
        layer=LAYER_FILE,
        mean_features=[],
        ranking=RANKING,
        sums=[],
        model=lambda w: study.evaluated_model(w.layer),
    output:
        VALIDATION,
    log:
        f"{SEED}/logs/eval_validation/{{layer}}/{{criterion}}.log",
    params:
        removal="structural",
        # One job evaluates all K, also in numpy.
        ks=lambda w: study.ks(w.layer),


rule choose_plan:
    input:
        costs=rules.plan_costs.output,
        rows=lambda w: expand(VALIDATION, layer=study.plan_layers, criterion=PLANNED_BY, **w),
    output:
        PLAN_CHOICE,
    log:
        f"{SEED}/logs/choose_plan.log",
    conda:
        "../envs/sweep.yaml"
    params:
        settings=settings_of("plan.macs", "plan.params", "plan.tolerance", "plan.criterion"),
        code=code("choose_plan"),
        # A pattern, because a network can have hundreds of layers.
        rows=lambda w: study.pattern(VALIDATION, seed=w.seed, criterion=PLANNED_BY),
        budget=BUDGET,
    shell:
        f"python {SCRIPTS}/choose_plan.py {LOGGED}"
        " --costs {input.costs:q} --rows {params.rows:q} --budget {params.budget} --output {output:q}"


# The whole plan at once: Torch-Pruning removes the channels of all layers from the network, which runs from the images.
rule evaluate_plan:
    input:
        model=MODEL,
        split=split_files("test"),
        costs=rules.plan_costs.output,
        choice=rules.choose_plan.output,
        rankings=lambda w: expand(RANKING, layer=study.plan_layers, criterion=PLANNED_BY, **w),
    output:
        PLAN_EVALUATION,
    log:
        f"{SEED}/logs/evaluate_plan.log",
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    params:
        settings=settings_of("preprocess", "activations", "threads", "plan.random_draws"),
        code=code("evaluate_plan", TASK),
        torch=lambda w: study.torch_options(),
        ranking=lambda w: study.pattern(RANKING, seed=w.seed, criterion=PLANNED_BY),
        criterion=PLANNED_BY,
        draws=config["plan"]["random_draws"],
        task=config["task"],
        dataset=study.dataset_name,
        seed="{seed}",
    shell:
        f"python {SCRIPTS}/evaluate_plan.py {LOGGED}"
        " --model {input.model:q} {params.torch:q} --split {input.split:q} --costs {input.costs:q}"
        " --choice {input.choice:q} --ranking {params.ranking:q} --criterion {params.criterion} --draws {params.draws}"
        " --task {params.task} --dataset {params.dataset:q} --seed {params.seed} --output {output:q}"


rule aggregate_plan:
    input:
        choices=lambda w: of_networks(PLAN_CHOICE, w.study),
        evaluations=lambda w: of_networks(PLAN_EVALUATION, w.study),
    output:
        table="results/{study}/plan.csv",
        settings="results/{study}/plan.csv.settings",
        layers="results/{study}/plan_layers.csv",
        layers_settings="results/{study}/plan_layers.csv.settings",
        text=in_tables("results/{study}/plan.txt", "plan, in numbers", "plan"),
    log:
        "results/{study}/logs/aggregate_plan.log",
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: study.settings_of_networks(seeds_of(w.study), "sweep.ks"),
        code=code("aggregate_plan", TASK),
        choices=lambda w: study.pattern(PLAN_CHOICE),
        evaluations=lambda w: study.pattern(PLAN_EVALUATION),
        seeds=lambda w: seeds_of(w.study),
        task=config["task"],
        budget=BUDGET,
    shell:
        f"python {SCRIPTS}/aggregate_plan.py {LOGGED}"
        " --choices {params.choices:q} --evaluations {params.evaluations:q} --seeds {params.seeds} --task {params.task}"
        " --budget {params.budget} --table {output.table:q} --layers {output.layers:q} --text {output.text:q}"
