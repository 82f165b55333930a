"""Group selected examples that influence a test example together; check their similarity."""

from memaudit.buckets.appearance import Appearance
from memaudit.buckets.subpopulations import Member, find_members
from memaudit.data.dataset import load
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows, write_rows

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    appearance = Appearance(data.train_images, data.train_labels)
    pairs = read_rows(snakemake.input.pairs, Pair)
    members = find_members(pairs, appearance, data.class_names, snakemake.params.similarity)
    write_rows(snakemake.output[0], Member, members)
    checked = [member.checked_group for member in members if member.checked_group is not None]
    report.say(
        f"{len(members)} selected examples share a test example, in "
        f"{len({member.group for member in members})} groups; {len(checked)} of them, in "
        f"{len(set(checked))} groups, pass the appearance check"
    )
