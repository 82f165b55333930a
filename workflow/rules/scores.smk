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
