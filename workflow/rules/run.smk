"""Before, during and after a run. Snakemake does not run this where the study is a module."""

STARTED = time.time()

# On this machine, not on a cluster: training jobs that run at a time, by its GPUs and the configuration
# (--resources gpu=N overrides). A profile could only state a fixed number.
if not workflow.resource_settings.nodes and "gpu" not in workflow.global_resources:
    if (local := plan.this_machine(study.config.training.device)).kind == "gpu":
        workflow.register_resource("gpu", local.workers * study.config.training.processes_per_gpu)


def jobs():
    """Return all jobs of the run; workflow.dag is private, but nothing public lists them."""
    return list(workflow.dag.jobs)


def shards_to_train():
    """Return for each shard the estimated seconds per model and whether it is to be trained."""
    return {
        Path(job.output[0]): (
            train_cost(job.wildcards).seconds_per_model,
            workflow.dag.needrun(job),
        )
        for job in jobs()
        if job.rule.name == "train"
    }


def refuse_if_too_long():
    """Stop a run that would train for longer than training.max_hours on this machine."""
    if workflow.non_local_exec:
        return
    models = {}
    for job in jobs():
        if job.rule.name == "train" and workflow.dag.needrun(job):
            arm = job.wildcards.recipe, job.wildcards.removal
            models[arm] = models.get(arm, 0) + len(trials_of(job.wildcards.chunk))
    if complaint := plan.too_long(study, machine(), plan.estimate(study, machine(), models)):
        raise WorkflowError(complaint)


def closing_words():
    """Return what a run that includes Table 2 prints at its end."""
    from memaudit.study import endings  # imports scipy, which takes a second

    ran = {job.rule.name for job in jobs()}
    if "table2" not in ran:
        return ""
    # rules that are not part of Table 2: what they made may be older than the table
    others = {
        "claims": "claims.csv",
        "summary": "summary.md",
        "pages": "report/table2.html",
        "figures": "figures/drops.png",
        "affected": "affected.csv",
        "learning_curves": "learning_curves.csv",
        **{sweep: f"{sweep}.csv" for sweep in study.possible_sweeps},
    }
    text = endings.closing_words(
        Path(study.results),
        study.is_synthetic,
        study.config.memorization.models,
        {rule: file for rule, file in others.items() if rule not in ran},
        STARTED,
    )
    # a terminal without UTF-8 has no arrows
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def what_failed():
    """Return why jobs failed."""
    from memaudit.study import endings

    logs = [Path(log) for job in jobs() if workflow.dag.needrun(job) for log in job.log]
    return endings.what_failed(logs, STARTED)
