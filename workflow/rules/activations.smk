# From a network to what its last block does on a split.


rule collect_activations:
    input:
        model=rules.train.output.model,
        images="results/{dataset}/seed{seed}/images/{split}.npy",
        pairs="results/{dataset}/seed{seed}/pairs/{split}.npy",
    output:
        features="results/{dataset}/seed{seed}/activations/{split}/features.npy",
        mean_features="results/{dataset}/seed{seed}/activations/{split}/mean_features.npy",
        mean_maps="results/{dataset}/seed{seed}/activations/{split}/mean_maps.npy",
        channels="results/{dataset}/seed{seed}/activations/{split}/channels.csv",
    log:
        "results/{dataset}/seed{seed}/logs/collect_activations/{split}.log",
    priority: 1
    conda:
        "../envs/torch.yaml"
    threads: config["threads"]
    params:
        script=script("collect_activations"),
        code=code("collect_activations"),
        batch=options(config["activations"]),
        device=config["device"],
        torch_threads=config["threads"],
        folder="results/{dataset}/seed{seed}/activations/{split}",
    shell:
        "python {params.script:q} --model {input.model:q} --images {input.images:q} --pairs {input.pairs:q}"
        " {params.batch:q} --device {params.device} --threads {params.torch_threads} --folder {params.folder:q}"
        " --log {log:q}"
