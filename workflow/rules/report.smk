"""What people read: the papers' claims, a summary for an appendix, pages of the report."""


rule claims:
    input:
        accuracies=f"{RESULTS}/accuracies.h5",
        buckets=f"{RESULTS}/buckets.csv",
        leaks=f"{RESULTS}/leaks.csv",
        scores=SCORES,
        # for its number of test examples only; where it changes, so do the accuracies
        dataset=ancient(DATASET),
    output:
        csv=f"{RESULTS}/claims.csv",
        markdown=f"{RESULTS}/claims.md",
    log:
        f"{RESULTS}/logs/claims.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        rows=ROWS,
        name=config["dataset"]["name"],
        threshold=lookup(dpath="selection/memorization", within=config),
        statistics=lookup(dpath="statistics", within=config),
        seed=config["seed"],
    script:
        "../scripts/claims.py"


rule summary:
    input:
        shards=[path for paths in SUMMED_UP.values() for path in paths],
        dataset=DATASET,
        buckets=f"{RESULTS}/buckets.csv",
        leaks=f"{RESULTS}/leaks.csv",
        pairs=f"{RESULTS}/selected_pairs.csv",
        table=f"{RESULTS}/table2.md",
        claims=f"{RESULTS}/claims.md",
    output:
        f"{RESULTS}/summary.md",
    log:
        f"{RESULTS}/logs/summary.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        config={
            key: config[key]
            for key in (
                "seed",
                "dataset",
                "memorization",
                "selection",
                "duplicates",
                "subpopulations",
                "statistics",
                "recipes",
            )
        },
        shards=SUMMED_UP,
    script:
        "../scripts/summary.py"


rule pages:
    input:
        table=f"{RESULTS}/table2.md",
        claims=f"{RESULTS}/claims.md",
        summary=f"{RESULTS}/summary.md",
    output:
        table=report(
            f"{RESULTS}/report/table2.html",
            caption="../report/table2.rst",
            category="1 The answer: Table 2",
            labels={"what": "Table 2, with its columns explained"},
        ),
        claims=report(
            f"{RESULTS}/report/claims.html",
            caption="../report/claims.rst",
            category="2 What the papers claim",
            labels={"what": "Claims and verdicts"},
        ),
        summary=report(
            f"{RESULTS}/report/summary.html",
            caption="../report/summary.rst",
            category="7 Settings, counts, versions",
            labels={"what": "Summary of the study"},
        ),
    log:
        f"{RESULTS}/logs/pages.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/pages.py"
