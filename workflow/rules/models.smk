"""The one training rule: every model of the study is (recipe, removal, trial)."""


rule train:
    input:
        dataset=ancient(study.dataset),
        digest=study.digest,
        examples=lambda wildcards: study.removal_list(wildcards.removal),
    # `update` keeps the old file: its models are taken over, so that a job whose end was not noticed
    # retrains none of them
    output:
        update(f"{study.results}/models/{{recipe}}/{{removal}}/{{chunk}}.h5"),
    log:
        f"{study.results}/logs/train/{{recipe}}/{{removal}}/{{chunk}}.log",
    benchmark:
        f"{study.results}/benchmarks/train/{{recipe}}/{{removal}}/{{chunk}}.tsv"
    conda:
        "../../envs/memaudit.yaml"
    threads: 1
    # a job that ran out of time or memory gets more of it and resumes
    resources:
        gpu=train_gpus,
        runtime=lambda wildcards, attempt: attempt * train_cost(wildcards).minutes,
        mem_mb=lambda wildcards, attempt: attempt * train_cost(wildcards).memory_mb,
    params:
        recipe=lookup(dpath="{recipe}", within=study.recipes),
        network_source=lambda wildcards: network_source(study.recipes[wildcards.recipe]["network"]),
        seed=study.config.seed,
        # shards with margins keep them whatever the configuration says
        margins=lambda wildcards: wildcards.removal == "subset"
        and (
            study.config.memorization.store_margins
            or holds_margins(
                f"{study.results}/models/{wildcards.recipe}/subset/{wildcards.chunk}.h5"
            )
        ),
        fraction=branch(
            lambda wildcards: wildcards.removal == "subset",
            then=study.config.memorization.subset_fraction,
            otherwise=None,
        ),
        # a params function of `resources` is not a rerun trigger: no result depends on these
        needs_margins=lambda wildcards, resources: study.config.memorization.store_margins,
        training=lambda wildcards, resources: study.settings["training"],
    script:
        "../scripts/train.py"
