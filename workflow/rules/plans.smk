# From the curves of all layers on the validation inputs to a plan for the whole network, and its evaluation.

PLAN_CRITERION = config["plan"]["criterion"]


# Parameters and MACs without channels of several layers. Only shapes matter, so nothing is trained.
rule plan_costs:
    input:
        split=expand(split_files("train"), seed=study.seeds[0], allow_missing=True),
        wait=lambda w: layers_known(),
    output:
        "results/{study}/plan_costs.csv",
    log:
        "results/{study}/logs/plan_costs.log",
    conda:
        "../envs/torch.yaml"
    params:
        settings=lambda w: settings.network() + settings.keys("network.leaf_modules") + code("plan_costs"),
        options=lambda w: flags(network=options.network(), layers=study.plan_layers),
    shell:
        command("plan_costs") + " --split {input.split:q} {params.options:q} --output {output:q}"


# A plan is chosen on the validation inputs. The labels of test inputs are read by its evaluation alone. The parameters
# of eval_pruned that are not named here stay, and its other parts are replaced.
use rule eval_pruned as eval_validation with:
    input:
        features=activations("val", "features.npy"),
        split=lambda w: study.if_torch(w.layer, split_files("val")) or labels("val"),
        layer=LAYER_FILE,
        mean_features=[],
        ranking=RANKING,
        sums=[],
        model=lambda w: study.if_torch(w.layer, MODEL),
        calibration=lambda w: study.calibration(w.layer, w.removal),
    output:
        VALIDATION,
    log:
        f"{SEED}/logs/eval_validation/{{layer}}/{{criterion}}/{{removal}}.log",
    params:
        # One job evaluates all K, also in numpy.
        ks=lambda w: study.ks(w.layer),


rule choose_plan:
    input:
        costs=rules.plan_costs.output,
        rows=lambda w: expand(
            VALIDATION, layer=study.plan_layers, criterion=PLAN_CRITERION, removal=study.plan_variant, **w
        ),
    output:
        PLAN_CHOICE,
    log:
        f"{SEED}/logs/choose_plan/{{budget}}.log",
    conda:
        "../envs/sweep.yaml"
    params:
        settings=settings.keys("plan.criterion", "plan.repair") + code("choose_plan"),
        # A pattern of the rows, because a network can have hundreds of layers.
        options=lambda w: flags(
            rows=options.pattern(VALIDATION, seed=w.seed, criterion=PLAN_CRITERION, removal=study.plan_variant),
            budget=w.budget.split("-", 1),
        ),
    shell:
        command("choose_plan") + " --costs {input.costs:q} {params.options:q} --output {output:q}"


# The whole plan at once: Torch-Pruning removes the channels of all layers from the network, which runs from the images.
rule evaluate_plan:
    input:
        model=MODEL,
        split=split_files("test"),
        train=split_files("train"),
        costs=rules.plan_costs.output,
        choice=rules.choose_plan.output,
        rankings=lambda w: expand(RANKING, layer=study.plan_layers, criterion=PLAN_CRITERION, **w),
    output:
        PLAN_EVALUATION,
    log:
        f"{SEED}/logs/evaluate_plan/{{budget}}.log",
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    params:
        settings=settings.keys("preprocess", "activations", "threads", "repair", "plan.random_draws")
        + code("evaluate_plan", TASK[1]),
        options=lambda w: options.torch()
        + options.row(w.seed, PLAN_CRITERION)
        + flags(ranking=options.pattern(RANKING, seed=w.seed, criterion=PLAN_CRITERION))
        + flags(draws=config["plan"]["random_draws"], budget=w.budget.split("-", 1))
        + flags(plan_repair=config["plan"]["repair"], repair=json.dumps(config["repair"], sort_keys=True)),
    shell:
        command("evaluate_plan")
        + " --model {input.model:q} --split {input.split:q} --train {input.train:q} --costs {input.costs:q}"
        " --choice {input.choice:q} {params.options:q} --output {output:q}"


rule aggregate_plan:
    input:
        choices=lambda w: expand_networks(PLAN_CHOICE, w.study, budget=study.budgets),
        evaluations=lambda w: expand_networks(PLAN_EVALUATION, w.study, budget=study.budgets),
    output:
        table="results/{study}/plan.csv",
        layers="results/{study}/plan_layers.csv",
        settings=settings_files("plan", "plan_layers"),
        text=in_tables("results/{study}/plan.txt", "plan, in numbers", "plan"),
    log:
        "results/{study}/logs/aggregate_plan.log",
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: settings.seeds(seeds_in(w.study), "sweep.ks", "plan.macs", "plan.params", "plan.tolerance")
        + code("aggregate_plan", *TASK),
        options=lambda w: flags(
            choices=options.pattern(PLAN_CHOICE),
            evaluations=options.pattern(PLAN_EVALUATION),
            seeds=seeds_in(w.study),
            budgets=study.budgets,
            task=config["task"],
        ),
    shell:
        command("aggregate_plan") + " {params.options:q} --table {output.table:q} --layers {output.layers:q}"
        " --text {output.text:q}"
