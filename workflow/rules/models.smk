"""The one training rule: every model of the study is (recipe, removal, trial)."""


rule train:
    input:
        dataset=ancient(DATASET),
        digest=DIGEST,
        points=removal_list,
    output:
        f"{RESULTS}/models/{{recipe}}/{{removal}}/{{chunk}}.h5",
    log:
        f"{RESULTS}/logs/train/{{recipe}}/{{removal}}/{{chunk}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{recipe}}/{{removal}}/{{chunk}}.tsv"
    conda:
        "../../envs/memaudit.yaml"
    threads: 1
    resources:
        gpu=1 if MACHINE.kind == "gpu" else 0,
    params:
        recipe=lookup(dpath="recipes/{recipe}", within=config),
        seed=config["seed"],
        fraction=branch(
            lambda wildcards: wildcards.removal == "subset",
            then=config["memorization"]["subset_fraction"],
            otherwise=None,
        ),
    script:
        "../scripts/train.py"
