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


# Everything: the curve and its summary, the proof, the figures.
rule all:
    default_target: True
    input:
        expand(rules.aggregate.output, dataset=config["dataset"]),
        expand(rules.verify_surgery.output, dataset=config["dataset"], seed=config["seeds"]),
        expand(rules.plot.output, dataset=config["dataset"], figure=STUDY_FIGURES),
        expand(rules.plot_network.output, dataset=config["dataset"], figure=NETWORK_FIGURES, seed=config["seeds"]),
