# From a data set to the inputs (pairs or images) and labels of each split.

# The reader of the data set, a module that the job imports by name.
READER = f"data.datasets.{MODULES[config['dataset']]}"


rule get_images:
    output:
        images="results/{study}/source/images.npy",
        labels="results/{study}/source/labels.npy",
        splits="results/{study}/source/splits.npy",
        classes=CLASSES,
    log:
        "results/{study}/logs/get_images.log",
    cache: CACHED
    # It may download data, and cluster nodes often have no internet access, so it runs where Snakemake itself runs.
    localrule: True
    conda:
        "../envs/torch.yaml"
    resources:
        # Not a parameter: moving the data does not trigger a re-run.
        data_dir=DATA_DIR,
    params:
        # With a digest of the data. They are not input files, because a folder can hold very many images.
        settings=settings.keys("dataset", "image_size", "image_channels")
        + data_settings(DATA_CONTENT)
        + code("get_images", READER),
        options=flags(
            dataset=config["dataset"], image_size=config["image_size"], image_channels=config["image_channels"]
        ),
    shell:
        command("get_images") + " {params.options:q} --data-dir {resources.data_dir:q} --source {output:q}"


rule make_pairs:
    input:
        rules.get_images.output,
    output:
        # Named outputs: Snakemake cannot cache unnamed ones.
        **{f"{kind}_{split}": file for split in SPLITS for kind, file in zip(KINDS, split_files(split))},
        index=INDEX,
    log:
        f"{SEED}/logs/make_pairs.log",
    cache: CACHED
    # As of `train`: otherwise the last network would wait for thousands of evaluations of the others.
    priority: 2
    conda:
        "../envs/sweep.yaml"
    params:
        settings=settings.keys("images", "task", *study.task.KEYS) + code("make_pairs", TASK[0]),
        options=lambda w: options.pairs(int(w.seed)),
    shell:
        command("make_pairs") + f" --source {{input:q}} {{params.options:q}} --folder {FOLDER}/seed{{wildcards.seed}}"
