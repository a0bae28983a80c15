# From a ranking to smaller networks that are trained further: a control for the repairs.

CALIBRATED_ON = [split_files("train")[0], *(f"{CALIBRATION}/{name}.npy" for name in ("inputs", "labels", "shares"))]
TABLES_OF_RECOVERY = ["recovery", "recovery_table", "recovery_agreement", "recovery_comparisons"]


# The network without the first K channels of a ranking, as it is or repaired, is trained further, once for each number of
# epochs. Its evaluations are the only job that reads test inputs.
rule retrain:
    input:
        model=MODEL,
        train=split_files("train"),
        val=split_files("val"),
        split=split_files("test"),
        ranking=RANKING,
        calibration=lambda w: recovery.if_start(w.start, CALIBRATED_ON, "refit_bias"),
        chosen="results/{study}/recovery_rates.csv",
    output:
        RETRAINED,
    log:
        f"{SEED}/logs/retrain/{{layer}}/{{criterion}}_{{start}}_k{{k}}.log",
    wildcard_constraints:
        start="|".join([*recovery.STARTS, recovery.SCRATCH]),
        k=r"\d+",
    cache: CACHED
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    resources:
        runtime=lambda w, attempt: attempt
        * max(60, 10 * max(config["training"]["epochs"], config["recovery"]["epochs"])),
        gpu=GPUS,
    params:
        settings=lambda w: settings.training(int(w.seed))
        + settings.keys("activations", "recovery.epochs")
        + code("retrain", *TASK),
        options=lambda w: options.retraining(w.seed, w.get("criterion", recovery.SCRATCH), w.layer),
        # As of `train`: the cache key has the kind of machine.
        machine=lambda w, threads: MACHINE,
        # Parameters of their own, which the rules below replace.
        start="{start}",
        k="{k}",
        epochs=recovery.budgets(config),
        rates=[],
    shell:
        command("retrain")
        + " --model {input.model:q} --train {input.train:q} --val {input.val:q} --split {input.split:q}"
        " --ranking {input.ranking:q} --calibration {input.calibration:q} --chosen {input.chosen:q} {params.options:q}"
        " --start {params.start} --k {params.k} --epochs {params.epochs} --learning-rates {params.rates} --output {output:q}"


# New networks, with any K channels fewer: for as many epochs as the unpruned network, and with as much compute.
use rule retrain as train_from_scratch with:
    input:
        model=[],
        train=split_files("train"),
        val=split_files("val"),
        split=split_files("test"),
        ranking=[],
        calibration=[],
        chosen="results/{study}/recovery_rates.csv",
    output:
        FROM_SCRATCH,
    log:
        f"{SEED}/logs/retrain/{{layer}}/scratch_k{{k}}.log",
    params:
        start=recovery.SCRATCH,
        epochs=[config["training"]["epochs"], "same_compute"],


# A control: training also improves a network from which nothing is removed.
use rule retrain as retrain_unpruned with:
    input:
        model=MODEL,
        train=split_files("train"),
        val=split_files("val"),
        split=split_files("test"),
        ranking=[],
        calibration=[],
        chosen="results/{study}/recovery_rates.csv",
    output:
        UNPRUNED,
    log:
        f"{SEED}/logs/retrain/{{layer}}/unpruned.log",
    params:
        options=lambda w: options.retraining(w.seed, recovery.UNPRUNED_NAME, w.layer),
        start=recovery.STARTS[0],
        k=0,


# What learning rates are chosen from: all of them at one K, evaluated on the validation inputs.
use rule retrain as try_learning_rates with:
    input:
        model=lambda w: recovery.if_start(w.start, MODEL, *recovery.STARTS),
        train=split_files("train"),
        val=split_files("val"),
        split=split_files("val"),
        ranking=lambda w: recovery.if_start(
            w.start, RANKING.replace("{criterion}", study.rankings[0]), *recovery.STARTS
        ),
        calibration=lambda w: recovery.if_start(w.start, CALIBRATED_ON, "refit_bias"),
        chosen=[],
    output:
        TRIALS,
    log:
        f"{SEED}/logs/retrain/{{layer}}/learning_rates_{{start}}.log",
    # Before all other retrainings, which wait for them.
    priority: 2
    params:
        options=lambda w: options.retraining(
            w.seed, recovery.SCRATCH if w.start == recovery.SCRATCH else study.rankings[0], w.layer
        ),
        k=lambda w: recovery.trial_k(study.channels(w.layer)),
        epochs=lambda w: config["training" if w.start == recovery.SCRATCH else "recovery"]["epochs"],
        rates=config["recovery"]["learning_rates"],


rule choose_learning_rates:
    input:
        lambda w: recovery.trial_files(study),
    output:
        table="results/{study}/recovery_rates.csv",
        settings=settings_files("recovery_rates"),
    log:
        "results/{study}/logs/choose_learning_rates.log",
    conda:
        "../envs/sweep.yaml"
    params:
        settings=settings.keys("recovery.learning_rates") + code("choose_learning_rates"),
    shell:
        command("choose_learning_rates") + " --trials {input:q} --output {output.table:q}"


rule aggregate_recovery:
    input:
        rows=lambda w: recovery.retrained_files(study, seeds_in(w.study)),
        chosen=rules.choose_learning_rates.output.table,
        training=lambda w: expand(study.history(w.study), seed=seeds_in(w.study)),
    output:
        tables=[f"results/{{study}}/{name}.csv" for name in TABLES_OF_RECOVERY],
        settings=settings_files(*TABLES_OF_RECOVERY),
        text=in_tables("results/{study}/recovery.txt", "retraining, in numbers", "recovery"),
    log:
        "results/{study}/logs/aggregate_recovery.log",
    conda:
        "../envs/figures.yaml"
    params:
        settings=lambda w: settings.rankings(
            study.criteria, seeds_in(w.study), "layer", "ranking.criteria", "recovery"
        )
        + code("aggregate_recovery", *TASK),
        options=lambda w: options.histories(w.study, seeds_in(w.study))
        + flags(
            rows=options.pattern(RETRAINED, layer=study.layer),
            controls=[options.pattern(path, layer=study.layer) for path in (FROM_SCRATCH, UNPRUNED)],
        )
        + flags(criteria=study.rankings, starts=recovery.STARTS, ks=recovery.retrained_ks(study)),
    shell:
        command("aggregate_recovery") + " --chosen {input.chosen:q} {params.options:q} --recovery {output.tables[0]:q}"
        " --table {output.tables[1]:q} --agreement {output.tables[2]:q} --comparisons {output.tables[3]:q}"
        " --text {output.text:q}"
