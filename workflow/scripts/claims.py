"""Judge the papers' claims by this study."""

import numpy as np

from memaudit import store, tables
from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import load
from memaudit.results import accuracies, claims, table2
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    params = snakemake.params
    settings = table2.Settings(**params.statistics, seed=params.seed)
    data = load(snakemake.input.dataset)
    rows = [tuple(row) for row in params.rows]
    with store.reading(snakemake.input.scores, store.SCORES) as file:
        memorized = np.flatnonzero(file["memorization"][:] >= params.threshold)
    arms = accuracies.read_arms(snakemake.input.accuracies, rows, data.n_test)
    found = claims.judge(
        table2.Contrasts(*arms, settings),
        tables.read_rows(snakemake.input.buckets, Assignment),
        tables.read_rows(snakemake.input.leaks, Leak),
        memorized,
        annotated=params.annotated,
    )
    tables.write_rows(snakemake.output.csv, claims.Claim, found)
    text = claims.markdown(found, params.name, settings.margin, params.published)
    store.write_text(snakemake.output.markdown, text)
    for claim in found:
        report(f"{claim.verdict}: {claim.claim} ({claim.reason})")
