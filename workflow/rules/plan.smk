"""What the study would cost, before it runs."""


rule plan:
    log:
        f"{study.results}/logs/plan.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        config=study.settings,
    script:
        "../scripts/plan.py"
