"""Find the training images that have a duplicate in the test set."""

from memaudit import duplicates
from memaudit.data.dataset import load
from memaudit.duplicates.finder import random_scores
from memaudit.duplicates.summary import random_warning
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data, params = load(snakemake.input[0]), snakemake.params

    def progress(done, total):
        report(f"{done:,} of {total:,} test images compared")

    def training(done, total):
        if done % 50 == 0 or done == total:
            report(f"{done:,} of {total:,} training steps of the network")

    if ":" in (params.embedding or ""):
        duplicates.check_embedding(params.embedding, data.train_images)

    pairs = duplicates.find_duplicates(
        data.train_images,
        data.test_images,
        near=params.near,
        review=0,
        per_test=duplicates.SCORED if params.embedding else duplicates.LISTED,
        transforms=params.transforms,
        progress=progress,
    )
    if params.embedding:
        report.say(f"searching for other photographs of a scene by {params.embedding}")
        pairs = duplicates.find_scenes(
            data,
            pairs,
            params.embedding,
            scene=params.scene,
            seed=params.seed or 0,
            progress=progress,
            training=training,
            note=report.say,
        )
    duplicates.write_pairs(
        pairs,
        snakemake.output.pairs,
        data.train_names or range(data.n_train),
        data.test_names or range(data.n_test),
    )
    listed = pairs.of((pairs.score >= params.review) | (pairs.kind != "candidate"))
    duplicates.write_duplicates(
        listed, snakemake.output.duplicates, data.train_names, data.test_names
    )
    counts = {
        kind: len(set(pairs.test[pairs.kind == kind].tolist()))
        for kind in ("exact", "near", "scene")
    }
    report.say(
        f"{counts['exact']} test images have an exact duplicate in the training set, "
        f"{counts['near']} a near-duplicate, {counts['scene']} another photograph of the scene"
    )
    if counts["near"]:
        scores = random_scores(data.train_images, data.test_images, pairs)
        if warning := random_warning(scores, params.near):
            report.say(warning)
