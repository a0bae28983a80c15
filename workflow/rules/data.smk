# From a data set to the inputs (pairs or images) and labels of each split.


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
        settings=settings_of("dataset", "image_size", "image_channels")
        + data_settings(DATA_CONTENT)
        + code("get_images", READER),
    shell:
        f"{command('get_images')} --dataset {config['dataset']} --image-size {config['image_size']}"
        f" --image-channels {config['image_channels']} --data-dir {{resources.data_dir:q}} --source {{output:q}}"


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
    conda:
        "../envs/sweep.yaml"
    params:
        settings=settings_of("images", "task", *study.task.KEYS) + code("make_pairs", TASK),
        # Functions, because the braces of JSON are not wildcards.
        sizes=lambda w: json.dumps(asked_sizes(config)),
        task=[config["task"], *(f"{key}={value}" for name in study.task.KEYS for key, value in config[name].items())],
        # A parameter, because the cache does not look at wildcards. All later files of the network inherit it.
        seed="{seed}",
        place=lambda w: ["--place", study.seeds.index(int(w.seed))] if config["images"]["disjoint"] else [],
    shell:
        f"{command('make_pairs')} --dataset {config['dataset']} --folder {FOLDER}/seed{{params.seed}}"
        " --source {input:q} --sizes {params.sizes:q} --task {params.task:q} --seed {params.seed} {params.place}"
