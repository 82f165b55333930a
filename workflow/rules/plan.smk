"""What the study would cost, before it runs."""


rule plan:
    log:
        f"{RESULTS}/logs/plan.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        snakefile=str(Path(workflow.basedir) / "Snakefile"),
        results=RESULTS,
        sweeps=SWEEPS,
        sources=[
            {"file": source.file, "size": source.size}
            for source in read_sources(SOURCES).values()
            if f"data/{source.file}" in NEEDED_FILES
        ],
    script:
        "../scripts/plan.py"
