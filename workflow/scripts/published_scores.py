"""F&Z's published scores, or their released runs scored as if trained here."""

from pathlib import Path

from memaudit.data.dataset import load
from memaudit.errors import AuditError
from memaudit.published.feldman_zhang import read_aux_arrays, write_fz_scores
from memaudit.scores.facade import Scores
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    labels = data.train_labels, data.test_labels
    if snakemake.params.source == "published_matrix":
        write_fz_scores(snakemake.input.published, snakemake.output[0], *labels)
    else:
        folder = Path(snakemake.input.published)
        runs = sorted(folder.rglob("aux_arrays.npz"))
        if not runs:
            raise AuditError(f"{folder}: no aux_arrays.npz in it or below it (memorization.path)")
        arrays = read_aux_arrays(runs, data.n_train, data.n_test)
        Scores.from_arrays(*arrays, *labels).write(snakemake.output[0])
        report.say(f"scored {len(runs)} released runs")
