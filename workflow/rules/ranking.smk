# From activations to the order in which a criterion removes channels.

SPLIT, POINT = config["ranking"]["split"], config["ranking"]["measure_at"]


rule rank_channels:
    input:
        layer=LAYER_FILE,
        # Each criterion gets only the inputs that it reads. Labels come from validation inputs, never from test inputs.
        channels=lambda w: if_read("statistics", w.criterion, activations(SPLIT, "channels.csv")),
        maps=lambda w: if_read("maps", w.criterion, activations(SPLIT, f"maps_{POINT}.npy")),
        features=lambda w: if_read("labels", w.criterion, activations("val", "features.npy")),
        means=lambda w: if_read("mean_features", w.criterion, activations("val", "mean_features.npy")),
        readers=lambda w: if_read("readers", w.criterion, f"{CALIBRATION}/moments.npy"),
        split=lambda w: if_read("labels", w.criterion, study.if_torch(w.layer, split_files("val")) or labels("val")),
        model=lambda w: if_read("labels", w.criterion, study.if_torch(w.layer, MODEL)),
    output:
        RANKING,
    log:
        f"{SEED}/logs/rank_channels/{{layer}}/{{criterion}}.log",
    cache: CACHED
    # Criteria that read single inputs are the slowest, and many jobs wait for them.
    priority: lambda w: 1 if {"maps", "labels"} & set(criteria.reads(w.criterion)) else 0
    conda:
        # Criteria that read labels need torch if more than linear layers follow the layer.
        "../envs/torch.yaml"
    threads: lambda w: study.ranking_threads(w.criterion)
    params:
        # The code is only what this criterion uses, so that an edit to another criterion does not trigger a re-run.
        settings=lambda w: settings.ranking(w.criterion) + code("rank_channels", *study.modules(w.criterion, w.layer)),
        options=lambda w: options.ranking(w.criterion, w.layer, w.seed),
    shell:
        command("rank_channels") + " --layer {input.layer:q} --channels {input.channels:q} --maps {input.maps:q}"
        " --features {input.features:q} --mean-features {input.means:q} --readers {input.readers:q} --split {input.split:q} --model {input.model:q} {params.options:q}"
        " --output {output:q}"
