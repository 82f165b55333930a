"""Find the training images that have a duplicate in the test set."""

from memaudit import duplicates
from memaudit.data.dataset import load
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data = load(snakemake.input[0])
    pairs = duplicates.find_duplicates(
        data.train_images,
        data.test_images,
        near=snakemake.params.near,
        review=0,
        transforms=snakemake.params.transforms,
        progress=lambda done, total: report(f"{done:,} of {total:,} test images compared"),
    )
    duplicates.write_pairs(
        pairs,
        snakemake.output.pairs,
        data.train_names or range(data.n_train),
        data.test_names or range(data.n_test),
    )
    listed = pairs.at_least(snakemake.params.review)
    duplicates.write_duplicates(
        listed, snakemake.output.duplicates, data.train_names, data.test_names
    )
    counts = {kind: len(set(pairs.test[pairs.kind == kind].tolist())) for kind in ("exact", "near")}
    report.say(
        f"{counts['exact']} test images have an exact duplicate in the training set, "
        f"{counts['near']} a near-duplicate"
    )
