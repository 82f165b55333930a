"""The papers' claims, a summary for an appendix, pages of the report."""


rule claims:
    input:
        accuracies=f"{study.results}/accuracies.h5",
        buckets=f"{study.results}/buckets.csv",
        leaks=f"{study.results}/leaks.csv",
        scores=study.scores,
        # only its number of test examples is read; where it changes, so do the accuracies
        dataset=ancient(study.dataset),
    output:
        csv=f"{study.results}/claims.csv",
        markdown=f"{study.results}/claims.md",
    log:
        f"{study.results}/logs/claims.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        rows=study.rows,
        name=study.name,
        threshold=study.config.selection.memorization,
        statistics=study.settings["statistics"],
        seed=study.config.seed,
        published=study.config.memorization.source == "published",
        annotated=bool(study.annotation),
    script:
        "../scripts/claims.py"


rule summary:
    input:
        shards=study.shards_of(study.models),
        dataset=study.dataset,
        buckets=f"{study.results}/buckets.csv",
        leaks=f"{study.results}/leaks.csv",
        pairs=f"{study.results}/selected_pairs.csv",
        answer=f"{study.results}/answer.md",
        table=f"{study.results}/table2.md",
        claims=f"{study.results}/claims.md",
        reliability=[f"{study.results}/reliability.csv"] if study.trains_subsets else [],
    output:
        f"{study.results}/summary.md",
    log:
        f"{study.results}/logs/summary.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        config={
            key: study.settings[key]
            for key in (
                "seed",
                "dataset",
                "memorization",
                "selection",
                "subpopulations",
                "statistics",
                "recipes",
            )
        }
        | {"duplicates": study.settings["duplicates"] | {"embedding": study.embedding}},
        shards=study.shards_by_arm(study.models),
    script:
        "../scripts/summary.py"


rule pages:
    input:
        answer=f"{study.results}/answer.md",
        table=f"{study.results}/table2.md",
        claims=f"{study.results}/claims.md",
        summary=f"{study.results}/summary.md",
    output:
        answer=report(
            f"{study.results}/report/answer.html",
            caption="../report/answer.rst",
            category="1 The answer",
            labels={"what": "1 In a few sentences"},
        ),
        table=report(
            f"{study.results}/report/table2.html",
            caption="../report/table2.rst",
            category="1 The answer",
            labels={"what": "2 Table 2, with its columns explained"},
        ),
        claims=report(
            f"{study.results}/report/claims.html",
            caption="../report/claims.rst",
            category="2 What the papers claim",
            labels={"what": "Claims and verdicts"},
        ),
        summary=report(
            f"{study.results}/report/summary.html",
            caption="../report/summary.rst",
            category="7 Settings, counts, versions",
            labels={"what": "Summary of the study"},
        ),
    log:
        f"{study.results}/logs/pages.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/pages.py"
