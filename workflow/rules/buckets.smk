"""From scores to selected examples, their buckets and the lists of examples to remove."""

if study.published_memorization:

    rule published_pairs:
        input:
            dataset=study.dataset,
            pairs=study.published,
        output:
            f"{study.results}/selected_pairs.csv",
        log:
            f"{study.results}/logs/published_pairs.log",
        localrule: True
        conda:
            "../../envs/memaudit.yaml"
        params:
            thresholds=study.settings["selection"],
            seed=study.config.seed,
        script:
            "../scripts/published_pairs.py"

else:

    rule selection:
        input:
            study.scores,
        output:
            f"{study.results}/selected_pairs.csv",
        log:
            f"{study.results}/logs/selection.log",
        localrule: True
        conda:
            "../../envs/memaudit.yaml"
        params:
            thresholds=study.settings["selection"],
            seed=study.config.seed,
        script:
            "../scripts/selection.py"


rule duplicates:
    input:
        study.dataset,
    output:
        duplicates=f"{study.results}/duplicates.csv",
        pairs=f"{study.results}/ranked_pairs.csv",
    log:
        f"{study.results}/logs/duplicates.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        near=study.config.duplicates.near,
        review=study.config.duplicates.review,
        transforms=study.config.duplicates.transforms,
        embedding=study.embedding,
        source=study.embedding_source,
        scene=study.config.duplicates.scene if study.embedding else None,
        seed=study.config.seed if study.embedding == "network" else None,
    script:
        "../scripts/duplicates.py"


rule agreement:
    input:
        duplicates=f"{study.results}/duplicates.csv",
        cifair=study.cifair,
    output:
        f"{study.results}/agreement.csv",
    log:
        f"{study.results}/logs/agreement.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        judgments=study.config.duplicates.cifair,
    script:
        "../scripts/agreement.py"


rule leaks:
    input:
        dataset=study.dataset,
        duplicates=f"{study.results}/duplicates.csv",
        ranked=f"{study.results}/ranked_pairs.csv" if study.embedding else [],
        pairs=f"{study.results}/selected_pairs.csv" if study.embedding else [],
        cifair=study.cifair,
        annotation=study.annotation,
        decisions=study.config.review.decisions or [],
    output:
        leaks=f"{study.results}/leaks.csv",
        leak_free=f"{study.results}/leak_free_test.txt",
    log:
        f"{study.results}/logs/leaks.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        judgments=study.config.duplicates.cifair if study.cifair else [],
        kinds=study.config.duplicates.kinds,
        scene=study.config.duplicates.scene if study.embedding else None,
    script:
        "../scripts/leaks.py"


rule subpopulations:
    input:
        dataset=study.dataset,
        pairs=f"{study.results}/selected_pairs.csv",
    output:
        f"{study.results}/subpopulations.csv",
    log:
        f"{study.results}/logs/subpopulations.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        similarity=study.config.subpopulations.similarity,
    script:
        "../scripts/subpopulations.py"


rule buckets:
    input:
        dataset=study.dataset,
        pairs=f"{study.results}/selected_pairs.csv",
        leaks=f"{study.results}/leaks.csv",
        subpopulations=f"{study.results}/subpopulations.csv",
        decisions=study.config.review.decisions or [],
    output:
        f"{study.results}/buckets.csv",
    log:
        f"{study.results}/logs/buckets.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        by=study.config.subpopulations.by,
    script:
        "../scripts/buckets.py"


# A checkpoint although its outputs are known: once it has run, Snakemake checks again what depends on
# it, and a list that is unchanged (same checksum) retrains nothing.
checkpoint removals:
    input:
        buckets=f"{study.results}/buckets.csv",
        dataset=study.dataset,
    output:
        expand(f"{study.results}/removals/{{name}}.txt", name=LISTED),
    log:
        f"{study.results}/logs/removals.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/removals.py"
