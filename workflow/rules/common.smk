"""The configured study, and the functions of wildcards that rules share."""

import re
import sys
import time
from functools import cache, partial
from pathlib import Path

try:
    from memaudit.data.fetch import fetch as fetch_file
    from memaudit.errors import AuditError
    from memaudit.models.network_names import network_source
    from memaudit.models.shards import holds_margins, trials_of
    from memaudit.study import images, model_times, plan, progress, trained
    from memaudit.study.checks import check_files
    from memaudit.study.config import ABOVE, LISTED, TOP
    from memaudit.study.owner import check_owner
    from memaudit.study.study import EXAMPLE_FIGURES, FIGURES, Study
except ImportError as error:
    raise WorkflowError(
        f"The package memaudit is not installed in this environment ({error}). Run `make .venv` and "
        "use .venv/bin/snakemake, or `pip install -e .`."
    )


@cache
def machine():
    """Return what training jobs run on: this machine, or a node of a cluster."""
    # no public attribute says whether jobs run elsewhere, and none does while this file is parsed
    if workflow.resource_settings.nodes or (workflow.executor_plugin and workflow.non_local_exec):
        return plan.Machine("cpu" if study.config.training.device == "cpu" else "gpu", 1)
    return plan.this_machine(study.config.training.device)


# While parsing, so that it holds where the study is used as a module, whose onstart is not run.
try:
    check_files(workflow.configfiles)
    study = Study(config)
    # the front page of the report reads settings here that the configuration may leave out
    config.update(study.settings)
    check_owner(study.results, study.name)
    # only the first run that trains records them, in onstart, and a module has none
    is_module = workflow.modifier.parent_modifier is not None
    sizes_jobs = study.config.training.models_per_job == "auto" and not is_module
    if workflow.is_main_process and not workflow.resource_settings.nodes:
        model_times.time_own_networks(study, machine().kind)
    if sizes_jobs and workflow.is_main_process:
        plan.size_jobs(study, machine())
    # the jobs of a cluster parse this file, too: files are checked once, by the main process
    if workflow.is_main_process:
        images.known(study.dataset, study.config.dataset)
        for path, name in study.needed_files.items():
            if Path(path).exists():
                fetch_file(name, study.sources, "data", report=lambda line: None)
except AuditError as error:
    raise WorkflowError(str(error))


wildcard_constraints:
    recipe="|".join(map(re.escape, study.recipes)),
    removal=r"[A-Za-z0-9_.]+",
    chunk=r"\d{6}-\d{6}",


def train_gpus(wildcards):
    """Return the number of GPUs of a training job."""
    return 1 if machine().kind == "gpu" else 0


def train_cost(wildcards):
    """Return the minutes and memory that a training job asks for."""
    models = len(trials_of(wildcards.chunk))
    arm = wildcards.recipe, wildcards.removal
    try:
        return plan.job_cost(study, machine().kind, arm, models)
    except AuditError as error:
        raise WorkflowError(str(error))


def scores_for(sweep, files):
    """Return an input function: `files`, or an error if the source of the scores lacks them."""

    def check(wildcards):
        if lacks := study.sweeps[sweep].lacks:
            source = study.config.memorization.source
            raise WorkflowError(f"{sweep}: memorization.source = {source!r} does not give {lacks}")
        return files

    return check


def needs_margins(files):
    """Return an input function: `files`, or an error if no subset model keeps its margins."""

    def check(wildcards):
        memorization = study.config.memorization
        if not study.trains_subsets:
            raise WorkflowError(
                f"privacy: memorization.source = {memorization.source!r} trains no subset models to "
                "attack; set memorization.source to estimate"
            )
        if not memorization.store_margins:
            raise WorkflowError(
                "privacy: memorization.store_margins = False; the attack needs the log-odds of the "
                "subset models: set it to true (models without them are trained again)"
            )
        return files

    return check


def external_files(files):
    """Return an input function: `files`, or an error if no scores are named."""

    def check(wildcards):
        if not files:
            raise WorkflowError("external: no scores to judge; name their files under `external`")
        return list(files)

    return check
