"""Subset models to memorization and influence."""


rule scores:
    input:
        dataset=DATASET,
        shards=lambda wildcards: shards(wildcards.recipe, "subset"),
    output:
        f"{RESULTS}/scores/{{recipe}}.h5",
    log:
        f"{RESULTS}/logs/scores/{{recipe}}.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=8000,
    params:
        models=config["memorization"]["models"],
        fraction=config["memorization"]["subset_fraction"],
        seed=config["seed"],
        recipe=lookup(dpath="{recipe}", within=ALL_RECIPES),
    script:
        "../scripts/scores.py"


rule all_pairs:
    input:
        dataset=DATASET,
        shards=lambda wildcards: shards(wildcards.recipe, "subset"),
    output:
        f"{RESULTS}/scores/{{recipe}}_all_pairs.h5",
    log:
        f"{RESULTS}/logs/all_pairs/{{recipe}}.log",
    conda:
        "../../envs/memaudit.yaml"
    threads: 8
    resources:
        gpu=train_gpus,
        mem_mb=4000,
        runtime=60,
    params:
        models=config["memorization"]["models"],
        fraction=config["memorization"]["subset_fraction"],
        seed=config["seed"],
        recipe=lookup(dpath="recipes/{recipe}", within=config),
    script:
        "../scripts/all_pairs.py"


rule reliability:
    input:
        dataset=DATASET,
        shards=lambda wildcards: shards(SCORED, "subset"),
        scores=SCORES,
        pairs=f"{RESULTS}/selected_pairs.csv",
    output:
        csv=f"{RESULTS}/reliability.csv",
        examples=f"{RESULTS}/reliability_examples.csv",
        figure=report(
            f"{RESULTS}/figures/reliability.png",
            caption="../report/reliability.rst",
            category="5 The scores",
            labels={"what": "How reliable the scores are"},
        ),
        svg=f"{RESULTS}/figures/reliability.svg",
    log:
        f"{RESULTS}/logs/reliability.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=4000,
    params:
        models=config["memorization"]["models"],
        fraction=config["memorization"]["subset_fraction"],
        seed=config["seed"],
        recipe=config["recipes"][config["memorization"]["recipe"]],
        thresholds=lookup(dpath="selection", within=config),
    script:
        "../scripts/reliability.py"


if SOURCE in ("published_matrix", "published_runs"):

    rule published_scores:
        input:
            dataset=DATASET,
            published=config["memorization"].get("path") or sourced("fz_matrix"),
        output:
            SCORES,
        log:
            f"{RESULTS}/logs/published_scores.log",
        conda:
            "../../envs/memaudit.yaml"
        params:
            source=SOURCE,
        script:
            "../scripts/published_scores.py"


rule export_fz:
    input:
        f"{RESULTS}/scores/{{recipe}}.h5",
    output:
        f"{RESULTS}/scores/{{recipe}}_fz.npz",
    log:
        f"{RESULTS}/logs/export_fz/{{recipe}}.log",
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/export_fz.py"
