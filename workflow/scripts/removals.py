"""Write the lists of examples to remove: all selected examples, and each bucket."""

from pathlib import Path

from memaudit.buckets.assign import Assignment, removal_lists
from memaudit.models.removals import write_examples
from memaudit.study.jobs import job
from memaudit.tables import read_rows

with job(snakemake.log[0]):
    lists = removal_lists(read_rows(snakemake.input.buckets, Assignment))
    for path in snakemake.output:
        write_examples(lists[Path(path).stem], path)
