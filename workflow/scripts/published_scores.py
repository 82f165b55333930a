"""Read F&Z's published scores, or estimate scores from their released runs."""

from pathlib import Path

from memaudit.data.dataset import load
from memaudit.errors import AuditError
from memaudit.published.feldman_zhang import (
    FZ_MODELS,
    read_aux_arrays,
    read_fz_matrix,
    read_fz_memorization,
    read_fz_pairs,
)
from memaudit.scores.facade import Scores
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data, published = load(snakemake.input.dataset), snakemake.input.published
    labels = data.train_labels, data.test_labels
    if snakemake.params.source == "published_runs":
        runs = sorted(Path(published).rglob("aux_arrays.npz"))
        if not runs:
            raise AuditError(
                f"{published}: no aux_arrays.npz in it or below it (memorization.path)"
            )
        arrays = read_aux_arrays(runs, data.n_train, data.n_test)
        Scores.from_arrays(*arrays, *labels).write(snakemake.output[0])
        report.say(f"estimated scores from {len(runs)} released runs")
    else:
        if snakemake.params.source == "published":
            pairs = read_fz_pairs(snakemake.input.pairs, *labels)
            scores = read_fz_memorization(published, pairs, *labels)
        else:
            scores = read_fz_matrix(published, *labels)
        scores.write(
            snakemake.output[0],
            models=FZ_MODELS,
            source=Path(published).name,
            standard_errors="upper bound; n_in and n_out are expectations",
        )
