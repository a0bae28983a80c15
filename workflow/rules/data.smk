# From a data set to the pairs of each split.


rule get_images:
    output:
        images="results/{dataset}/source/images.npy",
        labels="results/{dataset}/source/labels.npy",
        held_out="results/{dataset}/source/held_out.npy",
    log:
        "results/{dataset}/logs/get_images.log",
    cache: CACHED
    # It may download, and a cluster's nodes seldom reach the internet: always where Snakemake itself runs.
    localrule: True
    conda:
        "../envs/torch.yaml"
    resources:
        # No parameter: the same data in another place are no reason to run everything again.
        data_dir=DATA_DIR,
    params:
        script=script("get_images"),
        code=code("get_images"),
        dataset="{dataset}",
        image_size=config["image_size"],
        # The data aren't an input of Snakemake's (a folder of images may hold very many): other data show here.
        content=DATA_CONTENT,
    shell:
        "python {params.script:q} --dataset {params.dataset} --data-dir {resources.data_dir:q}"
        " --image-size {params.image_size} --log {log:q}"
        " --images {output.images:q} --labels {output.labels:q} --held-out {output.held_out:q}"


rule make_pairs:
    input:
        images=rules.get_images.output.images,
        labels=rules.get_images.output.labels,
        held_out=rules.get_images.output.held_out,
    output:
        # A name each: without, Snakemake couldn't share them between checkouts.
        **{
            f"{kind}_{split}": f"{SEED}/{kind}/{split}.npy"
            for kind in ("images", "labels", "pairs")
            for split in SPLITS
        },
    log:
        "results/{dataset}/seed{seed}/logs/make_pairs.log",
    cache: CACHED
    conda:
        "../envs/sweep.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        script=script("make_pairs"),
        code=code("make_pairs"),
        sizes=options(config["images"][config["dataset"]]),
        pairs=options(config["pairs_per_image"]),
        seed="{seed}",
        folder="results/{dataset}/seed{seed}",
    shell:
        "python {params.script:q} --images {input.images:q} --labels {input.labels:q} --held-out {input.held_out:q}"
        " --dataset {wildcards.dataset} {params.sizes:q} {params.pairs:q} --seed {params.seed}"
        " --folder {params.folder:q} --log {log:q}"
