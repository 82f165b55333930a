"""From subset models to memorization and influence."""


rule scores:
    input:
        dataset=study.dataset,
        shards=lambda wildcards: study.shards(wildcards.recipe, "subset"),
    output:
        f"{study.results}/scores/{{recipe}}.h5",
    log:
        f"{study.results}/logs/scores/{{recipe}}.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=8000,
    params:
        models=study.config.memorization.models,
        fraction=study.config.memorization.subset_fraction,
        estimator=study.config.memorization.estimator,
        seed=study.config.seed,
        recipe=lookup(dpath="{recipe}", within=study.recipes),
    script:
        "../scripts/scores.py"


rule all_pairs:
    input:
        dataset=study.dataset,
        shards=lambda wildcards: study.shards(wildcards.recipe, "subset"),
    output:
        f"{study.results}/scores/{{recipe}}_all_pairs.h5",
    log:
        f"{study.results}/logs/all_pairs/{{recipe}}.log",
    conda:
        "../../envs/memaudit.yaml"
    threads: 8
    resources:
        gpu=train_gpus,
        mem_mb=4000,
        runtime=60,
    params:
        models=study.config.memorization.models,
        fraction=study.config.memorization.subset_fraction,
        seed=study.config.seed,
        recipe=lookup(dpath="{recipe}", within=study.recipes),
        # a params function of `resources` is not a rerun trigger
        training=lambda wildcards, resources: study.settings["training"],
    script:
        "../scripts/all_pairs.py"


rule reliability:
    input:
        dataset=study.dataset,
        shards=lambda wildcards: study.shards(study.scored, "subset"),
        scores=study.scores,
        pairs=f"{study.results}/selected_pairs.csv",
    output:
        csv=f"{study.results}/reliability.csv",
        examples=f"{study.results}/reliability_examples.csv",
        figure=report(
            f"{study.results}/figures/reliability.png",
            caption="../report/reliability.rst",
            category="5 The scores",
            labels={"what": "Reliability of the scores"},
        ),
        svg=f"{study.results}/figures/reliability.svg",
    log:
        f"{study.results}/logs/reliability.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=4000,
    params:
        models=study.config.memorization.models,
        fraction=study.config.memorization.subset_fraction,
        estimator=study.config.memorization.estimator,
        seed=study.config.seed,
        recipe=study.recipes[study.config.memorization.recipe],
        thresholds=study.settings["selection"],
    script:
        "../scripts/reliability.py"


# A target of its own: `snakemake privacy`.
rule privacy:
    input:
        shards=needs_margins(study.shards(study.scored, "subset")),
        scores=study.scores,
        dataset=study.dataset,
        buckets=f"{study.results}/buckets.csv",
    output:
        csv=f"{study.results}/privacy.csv",
        examples=f"{study.results}/privacy_examples.csv",
        png=report(
            f"{study.results}/figures/privacy.png",
            caption="../report/privacy.rst",
            category="5 The scores",
            labels={"what": "Privacy: membership inference"},
        ),
        svg=f"{study.results}/figures/privacy.svg",
    log:
        f"{study.results}/logs/privacy.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=4000,
    params:
        models=study.config.memorization.models,
        fraction=study.config.memorization.subset_fraction,
        seed=study.config.seed,
        recipe=study.recipes.get(study.scored),
    script:
        "../scripts/privacy.py"


# A target of its own: `snakemake external`.
rule external:
    input:
        files=external_files(study.config.external.values()),
        scores=study.scores,
        dataset=study.dataset,
        shards=study.shards(study.scored, "subset") if study.trains_subsets else [],
    # `update` keeps earlier results where a file proves to be wrong
    output:
        csv=update(f"{study.results}/external.csv"),
        png=report(
            update(f"{study.results}/figures/external.png"),
            caption="../report/external.rst",
            category="5 The scores",
            labels={"what": "Scores of other methods"},
        ),
        svg=update(f"{study.results}/figures/external.svg"),
    log:
        f"{study.results}/logs/external.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=8000,
    params:
        names=list(study.config.external),
        models=study.config.memorization.models,
        fraction=study.config.memorization.subset_fraction,
        store_margins=study.config.memorization.store_margins,
        threshold=study.config.selection.memorization,
        seed=study.config.seed,
        recipe=study.recipes.get(study.scored),
    script:
        "../scripts/external.py"


# A checkpoint like `removals`: a list that is unchanged retrains nothing.
checkpoint top_examples:
    input:
        file=lambda wildcards: study.config.external[wildcards.name],
        scores=study.scores,
        selected=f"{study.results}/removals/selected.txt",
        dataset=study.dataset,
    output:
        f"{study.results}/removals/{TOP}{{name}}.txt",
    log:
        f"{study.results}/logs/top_examples/{{name}}.log",
    wildcard_constraints:
        name="|".join(map(re.escape, study.config.external)) or "none",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/top_examples.py"


if not study.trains_subsets:

    rule published_scores:
        input:
            dataset=study.dataset,
            published=study.published_memorization or study.published,
            # the influences that are known
            pairs=study.published if study.published_memorization else [],
        output:
            study.scores,
        log:
            f"{study.results}/logs/published_scores.log",
        conda:
            "../../envs/memaudit.yaml"
        params:
            source=study.config.memorization.source,
        script:
            "../scripts/published_scores.py"


rule export_fz:
    input:
        f"{study.results}/scores/{{recipe}}.h5",
    output:
        f"{study.results}/scores/{{recipe}}_fz.npz",
    log:
        f"{study.results}/logs/export_fz/{{recipe}}.log",
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/export_fz.py"
