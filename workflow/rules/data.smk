"""Images to data/<name>.h5: train and test images, labels, class names."""


rule dataset:
    output:
        DATASET,
    log:
        f"logs/{config['dataset']['name']}/dataset.log",
    conda:
        "../../envs/memaudit.yaml"
    params:
        kind=config["dataset"]["kind"],
        # what the kind needs; for images on disk, whether they changed is the user's to say
        settings=config["dataset"].get(config["dataset"]["kind"], {}),
        seed=config["seed"] if IS_GENERATED else None,
    script:
        "../scripts/dataset.py"
