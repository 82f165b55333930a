"""The page on which a person decides about duplicates and subpopulations."""


rule review:
    input:
        dataset=DATASET,
        duplicates=f"{RESULTS}/duplicates.csv",
        groups=f"{RESULTS}/subpopulations.csv",
        pairs=f"{RESULTS}/selected_pairs.csv",
        scores=SCORES,
    output:
        page=f"{RESULTS}/review/index.html",
        images=directory(f"{RESULTS}/review/images"),
    log:
        f"{RESULTS}/logs/review.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        study=config["dataset"]["name"],
        near=lookup(dpath="duplicates/near", within=config),
        review=lookup(dpath="duplicates/review", within=config),
    script:
        "../scripts/review.py"
