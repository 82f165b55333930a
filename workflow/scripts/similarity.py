"""Draw the influence of the selected pairs against how alike the duplicate finder calls them."""

from memaudit.buckets import read_buckets
from memaudit.data.dataset import load
from memaudit.duplicates.files import read_scores
from memaudit.figures.similarity import similarity
from memaudit.jobs import job
from memaudit.selection import read_pairs

with job(snakemake.log[0]):
    data, params = load(snakemake.input.dataset), snakemake.params
    scores = read_scores(
        snakemake.input.ranked,
        data.train_names or range(data.n_train),
        data.test_names or range(data.n_test),
    )
    similarity(
        read_pairs(snakemake.input.pairs),
        read_buckets(snakemake.input.buckets),
        scores,
        params.near,
        params.review,
        params.influence,
        snakemake.output.png,
    )
