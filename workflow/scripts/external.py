"""Judge scores and attributions of other methods by the subset models and by memorization."""

import numpy as np

from memaudit.data.dataset import load
from memaudit.figures.external import external as draw
from memaudit.models.removals import block_size
from memaudit.models.shards import Origin, read_shards
from memaudit.scores.external import (
    Judgment,
    is_per_example,
    judge_attributions,
    judge_scores,
    read_external,
)
from memaudit.scores.facade import study_scores
from memaudit.study.jobs import job
from memaudit.tables import Rows, write_rows

with job(snakemake.log[0]) as report:
    data, params = load(snakemake.input.dataset), snakemake.params
    labels = data.train_labels, data.test_labels
    named = zip(params.names, snakemake.input.files, strict=True)
    found = {name: read_external(path, *labels) for name, path in named}
    scores = {name: one for name, one in found.items() if is_per_example(one)}
    attributions = {name: one for name, one in found.items() if name not in scores}
    memorization = study_scores(snakemake.input.scores).memorization.value
    rows = Rows(Judgment, judge_scores(memorization, scores, params.threshold, params.seed))
    shards = list(snakemake.input.shards)
    if attributions and shards:
        fields = ["train_mask", "test_margin" if params.store_margins else "test_correct"]
        origin = Origin.of_subsets(params.recipe, params.seed, params.fraction, data)
        models = read_shards(shards, range(params.models), fields, origin, unpack=False)
        output = models[fields[1]]
        if output.dtype == np.uint8:
            output = np.unpackbits(output, axis=1, count=data.n_test).view(bool)
        parts, _ = block_size(params.fraction)
        rows += judge_attributions(
            models["train_mask"], output, *labels, attributions, block_size=parts
        )
    elif attributions:
        report.say(f"no subset models are trained, so {', '.join(attributions)} cannot be judged")
    write_rows(snakemake.output.csv, Judgment, rows)
    draw(rows, snakemake.output.png)
    for row in rows:
        report.say(f"{row.score}: {row.quantity} {row.value:.3f} ({row.low:.3f} to {row.high:.3f})")
