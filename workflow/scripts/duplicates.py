"""Find the train images that have a duplicate in the test set."""

from memaudit.data.dataset import load
from memaudit.duplicates import find_duplicates, write_duplicates
from memaudit.jobs import job

with job(snakemake.log[0]) as report:
    data = load(snakemake.input[0])
    pairs = find_duplicates(
        data.train_images,
        data.test_images,
        near=snakemake.params.near,
        review=snakemake.params.review,
        progress=lambda done, total: report(f"{done:,} of {total:,} test images compared"),
    )
    write_duplicates(pairs, snakemake.output[0])
    report.say(
        f"{len(set(pairs.test[pairs.kind == 'exact'].tolist()))} test images have an exact copy in "
        f"the training set, {len(set(pairs.test[pairs.kind == 'near'].tolist()))} a near one"
    )
