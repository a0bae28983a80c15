# How many channels of a layer can be removed, in which order, and why does the curve have its shape?
#
#   get_images → make_pairs → train → collect_activations → rank_channels → sum_channels → eval_pruned[K] → aggregate
#                                   └ describe_layer ───────┘               verify_surgery ─┘               └─ summarise, plot

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


# That of the working folder, or of the project (`snakemake -s PROJECT/Snakefile` in another folder).
configfile: "config.yaml" if Path("config.yaml").exists() else str(Path(workflow.current_basedir) / "config.yaml")


include: "workflow/rules/common/config.smk"
include: "workflow/rules/common/plan.smk"
include: "workflow/rules/common/parameters.smk"
include: "workflow/rules/common/inputs.smk"
include: "workflow/rules/common/results.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/ranking.smk"
include: "workflow/rules/sweep.smk"
include: "workflow/rules/verification.smk"
include: "workflow/rules/plans.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/archive.smk"
include: "workflow/rules/run.smk"


# The introduction of the report: snakemake --report report.zip
report: "workflow/report/workflow.rst"


# All results: the curve and its statistics over networks, the verification, the figures.
rule all:
    default_target: True
    input:
        lambda w: networks_at_once(),
        lambda w: everything(),


# The figures and the summary. With `--config archive=NAME` they come from a frozen study, without running it.
rule figures:
    input:
        lambda w: all_figures(DRAWN),
        expand(rules.summarise.output, study=DRAWN),


# Print the summary again, after the last job.
rule summary:
    input:
        f"results/{DRAWN}/summary.txt",
    log:
        "results/logs/summary.log",
    localrule: True
    conda:
        "workflow/envs/sweep.yaml"
    shell:
        # The rule has no output, so it runs each time.
        "touch {log:q}"


# Print the layers of the network: what belongs to the channels of each, and which of them can be pruned.
rule layers:
    input:
        f"results/{STUDY}/layers.txt",
    log:
        "results/logs/layers.log",
    localrule: True
    conda:
        "workflow/envs/sweep.yaml"
    shell:
        # The rule has no output, so it runs each time.
        "touch {log:q}"


# The tables and figures of the networks whose evaluations are finished, in results/{study}/partial.
rule partial:
    input:
        lambda w: tables(f"{STUDY}/partial") + study_figures(f"{STUDY}/partial"),


# Accuracy as a function of the share of channels removed, for each layer, with its verification.
rule sensitivity:
    input:
        expand(rules.plot.output, study=STUDY, figure=figures.of("sensitivity")),
        expand(rules.summarise_sensitivity.output, study=STUDY),
        lambda w: expand(
            rules.verify_surgery.output, study=STUDY, seed=SEEDS, layer=studied_layers(), target="_sensitivity"
        ),


# How many channels each layer keeps within the budget of `plan` in the config; the smaller networks, evaluated.
rule plan:
    input:
        f"results/{STUDY}/plan.txt",
        lambda w: expand(rules.plot.output, study=STUDY, figure=figures.of("plan")),
    log:
        "results/logs/plan.log",
    localrule: True
    conda:
        "workflow/envs/sweep.yaml"
    shell:
        # The rule has no output, so it runs each time.
        "touch {log:q}"


# Freeze the study in archive/{study}. `snakemake archive/NAME/manifest.json` gives the archive another name.
rule archive:
    input:
        lambda w: archive_of_study(),
