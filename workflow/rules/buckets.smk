"""Scores to selected examples, their buckets, and the lists of examples to remove."""

if SOURCE == "published":

    rule published_pairs:
        input:
            dataset=DATASET,
            pairs=sourced("fz_pairs"),
        output:
            f"{RESULTS}/selected_pairs.csv",
        log:
            f"{RESULTS}/logs/published_pairs.log",
        localrule: True
        conda:
            "../../envs/memaudit.yaml"
        params:
            thresholds=lookup(dpath="selection", within=config),
            seed=config["seed"],
        script:
            "../scripts/published_pairs.py"

else:

    rule selection:
        input:
            SCORES,
        output:
            f"{RESULTS}/selected_pairs.csv",
        log:
            f"{RESULTS}/logs/selection.log",
        localrule: True
        conda:
            "../../envs/memaudit.yaml"
        params:
            thresholds=lookup(dpath="selection", within=config),
            seed=config["seed"],
        script:
            "../scripts/selection.py"


rule duplicates:
    input:
        DATASET,
    output:
        duplicates=f"{RESULTS}/duplicates.csv",
        pairs=f"{RESULTS}/ranked_pairs.csv",
    log:
        f"{RESULTS}/logs/duplicates.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        near=lookup(dpath="duplicates/near", within=config),
        review=lookup(dpath="duplicates/review", within=config),
    script:
        "../scripts/duplicates.py"


rule agreement:
    input:
        duplicates=f"{RESULTS}/duplicates.csv",
        cifair=CIFAIR,
    output:
        f"{RESULTS}/agreement.csv",
    log:
        f"{RESULTS}/logs/agreement.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        judgments=config["duplicates"]["cifair"],
    script:
        "../scripts/agreement.py"


rule leaks:
    input:
        dataset=DATASET,
        duplicates=f"{RESULTS}/duplicates.csv",
        cifair=CIFAIR,
        decisions=DECISIONS,
    output:
        leaks=f"{RESULTS}/leaks.csv",
        leak_free=f"{RESULTS}/leak_free_test.txt",
    log:
        f"{RESULTS}/logs/leaks.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        judgments=config["duplicates"]["cifair"] if CIFAIR else [],
    script:
        "../scripts/leaks.py"


rule subpopulations:
    input:
        dataset=DATASET,
        pairs=f"{RESULTS}/selected_pairs.csv",
    output:
        f"{RESULTS}/subpopulations.csv",
    log:
        f"{RESULTS}/logs/subpopulations.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        similarity=lookup(dpath="subpopulations/similarity", within=config),
    script:
        "../scripts/subpopulations.py"


rule buckets:
    input:
        dataset=DATASET,
        pairs=f"{RESULTS}/selected_pairs.csv",
        leaks=f"{RESULTS}/leaks.csv",
        subpopulations=f"{RESULTS}/subpopulations.csv",
        decisions=DECISIONS,
    output:
        f"{RESULTS}/buckets.csv",
    log:
        f"{RESULTS}/logs/buckets.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        by=lookup(dpath="subpopulations/by", within=config),
    script:
        "../scripts/buckets.py"


# A checkpoint, though its outputs are known beforehand: when it has run, Snakemake looks again at
# what depends on it, and a list that came out as it was (same checksum) retrains nothing.
checkpoint removals:
    input:
        buckets=f"{RESULTS}/buckets.csv",
        dataset=DATASET,
    output:
        expand(f"{RESULTS}/removals/{{name}}.txt", name=settings.LISTED),
    log:
        f"{RESULTS}/logs/removals.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/removals.py"
