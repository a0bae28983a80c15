# From activations to the order in which a criterion removes channels.


rule rank_channels:
    input:
        layer=LAYER_FILE,
        # Each criterion gets only the inputs that it reads. Labels come from validation pairs, never from test pairs.
        channels=lambda w: read_by(w.criterion, "statistics", f"{IN_LAYER}/activations/{SPLIT}/channels.csv"),
        maps=lambda w: read_by(w.criterion, "maps", f"{IN_LAYER}/activations/{SPLIT}/maps_{POINT}.npy"),
        features=lambda w: read_by(w.criterion, "labels", f"{IN_LAYER}/activations/val/features.npy"),
        labels=lambda w: read_by(w.criterion, "labels", f"{SEED}/labels/val.npy"),
        model=lambda w: model_of(w.layer) if "labels" in criteria.reads(w.criterion) else [],
        images=lambda w: inputs_for(w.layer, "images", "val") if "labels" in criteria.reads(w.criterion) else [],
        inputs=lambda w: inputs_for(w.layer, "inputs", "val") if "labels" in criteria.reads(w.criterion) else [],
    output:
        RANKING,
    log:
        f"{SEED}/logs/rank_channels/{{layer}}/{{criterion}}.log",
    wildcard_constraints:
        criterion="|".join([*criteria.names(), r"random-\d+"]),
    cache: CACHED
    # Criteria that read single pairs are the slowest, and many jobs wait for them.
    priority: lambda w: 1 if {"maps", "labels"} & set(criteria.reads(w.criterion)) else 0
    conda:
        # Criteria that read labels need torch if more than linear layers follow the layer.
        "../envs/torch.yaml"
    threads: lambda w: config["threads"] if "labels" in criteria.reads(w.criterion) else 1
    resources:
        mem_mb=grown(2000),
        runtime=grown(60),
    params:
        script=script("rank_channels"),
        # Only what this criterion uses, so that an edit to another criterion does not trigger a re-run.
        code=lambda w: code("rank_channels", *modules_of(w.criterion, w.layer)),
        settings=lambda w: settings_of_ranking(w.criterion),
        seed="{seed}",
        criterion="{criterion}",
        # The same for all points if the criterion does not measure there. Another point then does not trigger a re-run.
        point=lambda w: criteria.point(w.criterion, POINT),
        torch_threads=lambda w: config["threads"] if "labels" in criteria.reads(w.criterion) else 1,
        parameters=lambda w: parameters(w.criterion),
        network=lambda w: torch_options(w.layer) if "labels" in criteria.reads(w.criterion) else [],
    shell:
        "python {params.script:q} --criterion {params.criterion} --layer {input.layer:q} --model {input.model:q}"
        " --images {input.images:q} --inputs {input.inputs:q} {params.network:q}"
        " --point {params.point} --channels {input.channels:q} --maps {input.maps:q} --features {input.features:q}"
        " --labels {input.labels:q} --parameters {params.parameters:q} --threads {params.torch_threads} --seed {params.seed}"
        " --output {output:q} --log {log:q} --settings {params.settings:q} {params.code:q}"


rule reverse_ranking:
    input:
        RANKING,
    output:
        f"{IN_LAYER}/ranking/{REVERSED}{{criterion}}.csv",
    log:
        f"{SEED}/logs/rank_channels/{{layer}}/{REVERSED}{{criterion}}.log",
    wildcard_constraints:
        criterion="|".join(criteria.names()),
    cache: CACHED
    # Reversing a list takes less time than submitting a job.
    localrule: True
    conda:
        "../envs/sweep.yaml"
    params:
        script=script("reverse_ranking"),
        code=code("reverse_ranking"),
    shell:
        "python {params.script:q} --ranking {input:q} --output {output:q} --log {log:q}" " --settings {params.code:q}"
