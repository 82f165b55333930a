"""The page on which a person decides about duplicates and subpopulations."""


rule review:
    input:
        dataset=study.dataset,
        duplicates=f"{study.results}/duplicates.csv",
        ranked=f"{study.results}/ranked_pairs.csv",
        cifair=study.cifair,
        annotation=study.annotation,
        groups=f"{study.results}/subpopulations.csv",
        pairs=f"{study.results}/selected_pairs.csv",
        scores=study.scores,
    output:
        page=f"{study.results}/review/index.html",
        images=directory(f"{study.results}/review/images"),
    log:
        f"{study.results}/logs/review.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        study=study.name,
        by=study.config.subpopulations.by,
        calibrated=study.config.dataset.kind in ("cifar10", "cifar100"),
        scene=study.config.duplicates.scene if study.embedding else None,
        judgments=study.config.duplicates.cifair if study.cifair else [],
        kinds=study.config.duplicates.kinds,
        rule=study.duplicate_rule,
    script:
        "../scripts/review.py"
