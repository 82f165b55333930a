"""The duplicates that count, and the test examples without one."""

from memaudit.buckets.decisions import Decisions, read_decisions
from memaudit.buckets.leaks import Leak, leak_free, with_decisions
from memaudit.data.dataset import load
from memaudit.duplicates import read_duplicates
from memaudit.models.removals import write_examples
from memaudit.published.cifair import read_cifair, with_judgments
from memaudit.study.jobs import job
from memaudit.tables import write_rows

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    judged, decided = snakemake.input.get("cifair"), snakemake.input.get("decisions")
    duplicates = with_judgments(
        read_duplicates(snakemake.input.duplicates),
        read_cifair(judged) if judged else [],
        snakemake.params.judgments,
    )
    decisions = read_decisions(decided, data.n_train, data.n_test) if decided else Decisions()
    leaks = with_decisions(duplicates, decisions, data)
    clean = leak_free(leaks, data.n_test)
    write_rows(snakemake.output.leaks, Leak, leaks)
    comment = (
        f"{len(clean)} of {data.n_test} test examples, without a duplicate in the training set"
    )
    write_examples(clean, snakemake.output.leak_free, comment)
    report.say(
        f"{data.n_test - len(clean):,} of {data.n_test:,} test examples have a duplicate in the "
        f"training set; people decided on {len(decisions.duplicates)} pairs"
    )
