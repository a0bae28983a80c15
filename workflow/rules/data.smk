# From a data set to the inputs (pairs or images) and labels of each split.


rule get_images:
    output:
        images="results/{study}/source/images.npy",
        labels="results/{study}/source/labels.npy",
        splits="results/{study}/source/splits.npy",
        classes="results/{study}/source/classes.csv",
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
        script=script("get_images"),
        code=code("get_images", READER),
        settings=settings_of("dataset", "image_size", "image_channels") + data_settings(DATA_CONTENT),
        dataset=DATASET,
        image_size=config["image_size"],
        image_channels=config["image_channels"],
        # The data are not input files, because a folder can hold very many images. This digest changes when they change.
        content=DATA_CONTENT,
    shell:
        "python {params.script:q} --dataset {params.dataset} --data-dir {resources.data_dir:q}"
        " --image-size {params.image_size} --image-channels {params.image_channels} --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"
        " --images {output.images:q} --labels {output.labels:q} --splits {output.splits:q}"
        " --classes {output.classes:q}"


rule make_pairs:
    input:
        images=rules.get_images.output.images,
        labels=rules.get_images.output.labels,
        splits=rules.get_images.output.splits,
        classes=rules.get_images.output.classes,
    output:
        # Named outputs: Snakemake cannot cache unnamed ones.
        **{
            f"{kind}_{split}": f"{SEED}/{kind}/{split}.npy"
            for kind in ("images", "inputs", "labels")
            for split in SPLITS
        },
        index=f"{SEED}/images/index.npy",
    log:
        "results/{study}/seed{seed}/logs/make_pairs.log",
    cache: CACHED
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("make_pairs"),
        code=code("make_pairs", OF_TASK),
        settings=settings_of("images", "task", *TASK.KEYS),
        dataset=DATASET,
        sizes=options(asked_sizes(config)),
        task=config["task"],
        parameters=[f"{key}={value}" for section in TASK.KEYS for key, value in config[section].items()],
        seed="{seed}",
        place=lambda w: ["--place", SEEDS.index(int(w.seed))] if config["images"]["disjoint"] else [],
    shell:
        "python {params.script:q} --images {input.images:q} --labels {input.labels:q} --splits {input.splits:q}"
        " --classes {input.classes:q}"
        " --dataset {params.dataset} {params.sizes:q} --task {params.task} --parameters {params.parameters:q}"
        " --seed {params.seed} {params.place}"
        f" --folder {WRITTEN}/seed{{params.seed}}"
        " --log {log:q}"
        " --settings {params.settings:q} {params.code:q}"
