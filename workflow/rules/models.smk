"""The one training rule: every model of the study is (recipe, removal, trial)."""


rule train:
    input:
        dataset=ancient(DATASET),
        digest=DIGEST,
        examples=removal_list,
    # updated, never deleted first: the models it holds are taken over, so a job that is run again
    # because nobody saw it finish trains none of them twice
    output:
        update(f"{RESULTS}/models/{{recipe}}/{{removal}}/{{chunk}}.h5"),
    log:
        f"{RESULTS}/logs/train/{{recipe}}/{{removal}}/{{chunk}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{recipe}}/{{removal}}/{{chunk}}.tsv"
    conda:
        "../../envs/memaudit.yaml"
    threads: 1
    # a job that ran out of its time or memory gets more of it, and goes on where it was
    resources:
        gpu=train_gpus,
        runtime=lambda wildcards, attempt: attempt * train_cost(wildcards).minutes,
        mem_mb=lambda wildcards, attempt: attempt * train_cost(wildcards).memory_mb,
    params:
        recipe=lookup(dpath="{recipe}", within=ALL_RECIPES),
        seed=config["seed"],
        fraction=branch(
            lambda wildcards: wildcards.removal == "subset",
            then=config["memorization"]["subset_fraction"],
            otherwise=None,
        ),
    script:
        "../scripts/train.py"
