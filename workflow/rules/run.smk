"""Before, during and after a run: what stops it, what it says."""

# Rules that go by what Table 2 goes by, with a file of each: they may be older than the table.
BESIDE_TABLE2 = {
    "claims": "claims.csv",
    "summary": "summary.md",
    "pages": "report/table2.html",
    "figures": "figures/drops.png",
    "affected": "affected.csv",
    "learning_curves": "learning_curves.csv",
    **{sweep: f"{sweep}.csv" for sweep in SWEEPS},
}


def shards_to_train():
    """The study's shards: the seconds a model is estimated to take, and whether it is to be made."""
    jobs = [job for job in workflow.dag.jobs if job.rule.name == "train"]
    return {
        Path(job.output[0]): (
            train_cost(job.wildcards).seconds_a_model,
            workflow.dag.needrun(job),
        )
        for job in jobs
    }


def closing_words():
    """What a run that made Table 2 says at its end."""
    if not any(job.rule.name == "table2" for job in workflow.dag.jobs):
        return ""
    models = config["memorization"]["models"]
    looked_at = {job.rule.name for job in workflow.dag.jobs}
    others = {rule: file for rule, file in BESIDE_TABLE2.items() if rule not in looked_at}
    text = endings.closing_words(Path(RESULTS), IS_GENERATED, models, others, STARTED)
    # a terminal that is not UTF-8 has no arrows
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def refuse_foreign_results():
    """Stop where the results folder holds another dataset's study, and mark it as this one's.

    Not where the plan alone is asked for: it makes nothing there.
    """
    if all(job.rule.name == "plan" for job in workflow.dag.needrun_jobs()):
        return
    try:
        settings.claim(RESULTS, config["dataset"]["name"])
    except AuditError as error:
        raise WorkflowError(str(error))


def what_failed():
    """Why the jobs failed that ran and did not finish."""
    logs = [Path(log) for job in workflow.dag.needrun_jobs() for log in job.log]
    return endings.what_failed(logs, STARTED)


def refuse_wrong_files():
    """Stop where a remote file lies in data/ that is not the published one, put there by hand."""
    for file, name in SOURCE_NAMES.items():
        if Path("data", file).exists():
            try:
                fetch_file(name, SOURCES, "data", report=print)
            except AuditError as error:
                raise WorkflowError(str(error))


def refuse_if_too_long():
    """Stop a run that would train for longer than training.max_hours on this machine."""
    if workflow.non_local_exec:
        return
    models = {}
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "train":
            arm = job.wildcards.recipe, job.wildcards.removal
            models[arm] = models.get(arm, 0) + len(settings.trials_of(job.wildcards.chunk))
    if complaint := plan.too_long(config, MACHINE, plan.estimate(config, MACHINE, models)):
        raise WorkflowError(complaint)
