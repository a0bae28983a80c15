# How much of a convolution can be removed, in which order should its channels go, and why does the curve look so?
#
#   get_images → make_pairs → train → collect_activations → rank_channels → sum_channels → eval_pruned[K] → aggregate
#                                                                                          └─ verify_surgery   └─ plot

from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/ranking.smk"
include: "workflow/rules/sweep.smk"
include: "workflow/rules/verification.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/archive.smk"


# Everything: the curve and what it says over networks, the proof, the figures.
rule all:
    default_target: True
    input:
        everything(),


# The figures alone; with `--config archive=NAME` from a frozen study, without any run.
rule figures:
    input:
        all_figures(STUDY),


# The tables and figures of those networks alone whose evaluations are done: results/{dataset}/partial.
rule partial:
    input:
        lambda w: tables(f"{DATASET}/partial") + study_figures(f"{DATASET}/partial"),


# Accuracy over the share of channels removed, a line a convolution, and the proof for each.
rule sensitivity:
    input:
        expand(rules.plot.output, study=DATASET, figure=figures.of("of_sensitivity")),
        expand(rules.verify_surgery.output, dataset=DATASET, seed=SEEDS, layer=LAYERS, proof="_sensitivity"),


# The study frozen in archive/{dataset}; `snakemake archive/NAME/manifest.json` gives it another name.
rule archive:
    input:
        f"archive/{DATASET}/manifest.json",
