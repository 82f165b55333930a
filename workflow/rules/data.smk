"""Remote files into data/, and images into data/<name>.h5."""


rule fetch:
    output:
        "data/{file}",
    log:
        "logs/fetch/{file}.log",
    wildcard_constraints:
        file="|".join(map(re.escape, study.file_names)),
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        name=lambda wildcards: study.file_names[wildcards.file],
        sources=study.sources,
        # a params function of `resources` is not a rerun trigger
        mirror=lambda wildcards, resources: study.config.mirror,
    message:
        "Fetch {output} from a mirror folder or as data/sources.yaml states"
    script:
        "../scripts/fetch.py"


# Models depend on the digest, not on the file: touching, copying or rebuilding the same images
# retrains nothing. A checkpoint, so that Snakemake compares the digest again once it has run.
checkpoint dataset:
    input:
        study.cifar_files,
    # `update` keeps the old files if the images cannot be read
    output:
        data=update(study.dataset),
        digest=update(study.digest),
    log:
        f"logs/{study.name}/dataset.log",
    conda:
        "../../envs/memaudit.yaml"
    params:
        kind=study.config.dataset.kind,
        cifar=study.cifar,
        sources=study.sources if study.cifar else None,
        settings=study.image_settings,
        seed=study.config.seed if study.is_synthetic else None,
        # a params function of `resources` is not a rerun trigger
        results=lambda wildcards, resources: study.results,
    script:
        "../scripts/dataset.py"
