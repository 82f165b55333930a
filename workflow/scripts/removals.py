"""Write the lists of points to remove: all selected ones, and each bucket."""

from pathlib import Path

from memaudit.buckets import read_buckets, removal_lists
from memaudit.jobs import job
from memaudit.removals import write_points

with job(snakemake.log[0]):
    lists = removal_lists(read_buckets(snakemake.input.buckets))
    for path in snakemake.output:
        write_points(lists[Path(path).stem], path)
