"""Judge the papers' claims by this study."""

import numpy as np

from memaudit import store
from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import load
from memaudit.results import accuracies, claims, table2
from memaudit.study.jobs import job
from memaudit.tables import read_rows

with job(snakemake.log[0]) as report:
    params = snakemake.params
    settings = table2.Settings(**params.statistics, seed=params.seed)
    data = load(snakemake.input.dataset)
    rows = [tuple(row) for row in params.rows]
    memorized = None  # F&Z's published pairs come without the scores of other examples
    if snakemake.input.scores:
        with store.reading(snakemake.input.scores, store.SCORES) as file:
            memorized = np.flatnonzero(file["memorization"][:] >= params.threshold)
    found = claims.judge(
        table2.Contrasts(
            *accuracies.read_arms(snakemake.input.accuracies, rows, data.n_test), settings
        ),
        read_rows(snakemake.input.buckets, Assignment),
        read_rows(snakemake.input.leaks, Leak),
        memorized,
        settings,
    )
    claims.write_claims(found, snakemake.output.csv)
    text = claims.markdown(
        found, f"What the papers claim, and what {params.name} shows", settings.margin
    )
    with store.atomic_write(snakemake.output.markdown) as temporary:
        temporary.write_text(text, encoding="utf-8")
    for claim in found:
        report(f"{claim.verdict}: {claim.claim} ({claim.because})")
