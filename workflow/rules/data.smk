"""Remote files into data/, and images to data/<name>.h5."""


rule fetch:
    output:
        "data/{file}",
    log:
        "logs/fetch/{file}.log",
    wildcard_constraints:
        file="|".join(re.escape(file) for file in SOURCE_NAMES),
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        name=lambda wildcards: SOURCE_NAMES[wildcards.file],
        sources=str(SOURCES),
    message:
        "Fetch {output}, from MEMAUDIT_MIRROR or as data/sources.yaml says"
    script:
        "../scripts/fetch.py"


# The digest stands for the images where models are trained: a file that is touched, copied or made
# anew with the same images trains nothing again (a checkpoint, so that Snakemake looks again).
checkpoint dataset:
    input:
        archive=sourced(KIND) if IS_CIFAR else [],
    output:
        data=DATASET,
        digest=DIGEST,
    log:
        f"logs/{config['dataset']['name']}/dataset.log",
    conda:
        "../../envs/memaudit.yaml"
    params:
        kind=KIND,
        sources=str(SOURCES) if IS_CIFAR else None,
        # what the kind needs; for images on disk, whether they changed is the user's to say
        settings=config["dataset"].get(KIND, {}),
        seed=config["seed"] if IS_GENERATED else None,
    script:
        "../scripts/dataset.py"
