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
    """Return for each shard the estimated seconds per model and a function that counts the models
    left to train, None if it is up to date.
    """
    return {
        Path(job.output[0]): (
            train_cost(job.wildcards).seconds_per_model,
            partial(models_to_train, job) if workflow.dag.needrun(job) else None,
        )
        for job in jobs()
        if job.rule.name == "train"
    }


def before_training():
    """Stop a run whose GPU cannot be used, or that would take longer than training.max_hours.

    Otherwise record how many models each job trains.
    """
    train = [job for job in jobs() if job.rule.name == "train" and workflow.dag.needrun(job)]
    if not workflow.non_local_exec:
        refuse_to_train(train)
    warn_of_replaced(job.output[0] for job in train)
    if train and sizes_jobs:
        study.record_jobs()
    try:
        models = trained.without_margins(study, [job.output[0] for job in train])
    except AuditError as error:
        raise WorkflowError(str(error))
    if models:
        logger.warning(
            f"{models:,} models were trained without keeping margins and are trained again "
            "(memorization.store_margins = true)"
        )


def warn_of_replaced(shards):
    """Warn of images that would be read again, and of finished models that would be replaced."""
    for warning in filter(None, (trained.reread(study), trained.replaced(study, shards))):
        logger.warning(warning)


def refuse_to_train(train):
    """Stop a run of jobs whose GPU cannot be used, or that would take too long."""
    if train and machine().problem:
        raise WorkflowError(machine().problem)
    if not complaint_about({job: len(trials_of(job.wildcards.chunk)) for job in train}):
        return
    # a study copied without its modification times looks out of date, but its models are there
    models = {job: models_to_train(job) for job in train}
    if complaint := complaint_about(models):
        raise WorkflowError(complaint)
    there = sum(len(trials_of(job.wildcards.chunk)) for job in train) - sum(models.values())
    logger.info(
        f"{there:,} models have the modification time of another run; they are taken over, not "
        "trained again. To mark the files of a copied study as up to date: snakemake --touch"
    )


def complaint_about(models):
    """Return why a run that trains so many models of each job is too long, or None."""
    arms = {}
    for job, count in models.items():
        arm = job.wildcards.recipe, job.wildcards.removal
        arms[arm] = arms.get(arm, 0) + count
    return plan.too_long(study, machine(), plan.estimate(study, machine(), arms))


def models_to_train(job):
    """Return how many models a training job would train, at most."""
    before = (j for j in workflow.dag.bfs(workflow.dag.dependencies, job) if j != job)
    reasons = {
        name
        for other in before
        if workflow.dag.needrun(other)
        for name in workflow.dag.reason(other).get_names()
    }
    # with any other reason its list of examples may change
    if not reasons <= {"updated input files", "input files updated by another job"}:
        return len(trials_of(job.wildcards.chunk))
    try:
        return trained.untrained(study, job.output[0])
    except AuditError as error:
        raise WorkflowError(str(error))


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
    return endings.what_failed(logs, STARTED, workflow.non_local_exec)


def until_targets(name):
    """Return the files to name in place of `--until name`, a rule or a file."""
    if name == "train":
        return study.shards_of(study.models)
    known = {"recipe": study.scored}
    files = [str(file) for each in workflow.rules if each.name == name for file in each.output]
    files = files or [name]
    return [re.sub(r"\{(\w+)[^}]*\}", lambda m: known.get(m[1], m[1]), f) for f in files]


def stopping_options():
    """Return the values of --until and --omit-from; Snakemake keeps them from a workflow while it
    is parsed.
    """
    names, option = {"until": [], "omit-from": []}, None
    for argument in sys.argv[1:]:
        # -U or -O, also with flags before it or the value behind it; the long ones may be shortened
        if found := re.fullmatch(
            "-[FRknpr]*([UO])(.*)|--(unt(?:il?)?|o(?:m[a-z-]*)?)(?:=(.*))?", argument
        ):
            option = names["until" if (found[1] or found[3])[0] in "Uu" else "omit-from"]
            option += [value.lstrip("=") for value in (found[2], found[4]) if value]
        elif argument.startswith("-"):
            option = None
        elif option is not None:
            option.append(argument)
    return names


def refuse_stopping(names):
    """Stop a run with --until or --omit-from: Snakemake (9.27) ends it after a checkpoint, with
    status 0.
    """
    option = next((option for option, values in names.items() if values), None)
    if option is None:
        return
    why = (
        f"--{option} does not work with the checkpoints of this workflow: Snakemake would end without "
        "an error and without the files."
    )
    if option == "omit-from":
        raise WorkflowError(f"{why} Name the files that you want as targets instead")
    targets = [file for name in names[option] for file in until_targets(name)]
    shown = " ".join(targets[:3]) + (f" (and {len(targets) - 3} more)" if len(targets) > 3 else "")
    raise WorkflowError(f"{why} Name them as targets instead: snakemake {shown}")


if workflow.is_main_process:
    refuse_stopping(stopping_options())
    # onstart is not run
    if any(re.fullmatch("--dry-?run|-[FRknpr]*n[FRknpr]*", option) for option in sys.argv[1:]):
        warn_of_replaced(study.shards_of(study.models))
