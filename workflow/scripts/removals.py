"""Write the lists of examples to remove: all selected ones, and each bucket."""

from pathlib import Path

from memaudit.buckets.assign import read_buckets, removal_lists
from memaudit.models.removals import write_examples
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    lists = removal_lists(read_buckets(snakemake.input.buckets))
    for path in snakemake.output:
        write_examples(lists[Path(path).stem], path)
