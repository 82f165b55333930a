"""Keys of scores, selected examples and their buckets."""

from typing import Annotated, Literal

from memaudit.study.config.section import Location, Section, Unique, key, rebuilds, text


class Memorization(Section):
    """Where memorization and influence come from."""

    source: Literal["estimate", "published", "published_matrix", "published_runs"] = key(
        "published", rebuilds="selection and everything after it"
    )
    """`published`: the 1,015 pairs that F&Z published for CIFAR-100, instead of training 4,000
    models; `published_matrix`: their scores of all examples (`cifar100_infl_matrix.npz`, which you
    must have); `published_runs`: their released runs (`aux_arrays.npz`), scored as if trained here;
    `estimate`: train the subset models."""
    path: Location | None = key(None, rebuilds="selection and everything after it")
    """File of `published_matrix` (`null`: `data/cifar100_infl_matrix.npz`) or folder of
    `published_runs` (every `aux_arrays.npz` below it). `null` for the other sources."""
    recipe: str = key("original", rebuilds="scores and everything after them")
    """Recipe of the subset models; a name under `recipes`."""
    models: int = key(
        4000, rebuilds="the new subset models, scores and everything after them", ge=2, le=1_000_000
    )
    """Number of subset models, k. With the estimator `difference`, the standard error of a score is
    at most sqrt(1/(4·0.7k) + 1/(4·0.3k)): 0.11 at 100, 0.055 at 400, 0.035 at 1,000, 0.017 at
    4,000. With `margins` it is smaller, but has no formula."""
    subset_fraction: float = key(
        0.7, rebuilds="subset models and everything after them", ge=0.05, le=0.95
    )
    """Fraction of the training examples in each subset, r; at most two decimals."""
    estimator: Literal["margins", "difference"] = key(
        "difference", rebuilds="scores and everything after them"
    )
    """How scores are estimated from the subset models. `difference`: F&Z's difference of
    accuracies. `margins`: the same quantities from the margins of the predictions, from fewer
    models ([how many](../docs/estimator.md)). Not used for published scores."""
    store_margins: bool = key(
        True, rebuilds="subset models without margins, if set to `true`; `external.csv`"
    )
    """Whether shards of subset models keep margins and log-odds (float16): 4 bytes per model and
    example, 240 kB per model on CIFAR-100. `estimator: margins` and `snakemake privacy` need them.
    Margins that are stored stay when this is set to `false`, which holds for new models; with
    `true`, subset models that were trained without margins are trained again (`snakemake plan` says
    how many)."""
    influence: Literal["within_class", "all_pairs"] = key("within_class", rebuilds="that file")
    """`within_class`: influence of training examples on the test examples of their class, by which
    examples are selected, as in the paper. `all_pairs`: in addition a file of the influence of
    every training example on every test example (`scores/<recipe>_all_pairs.h5`;
    [cost](#all-pairs)); needs `source: estimate`."""


class Selection(Section):
    """Which training examples are selected for removal."""

    model_config = rebuilds("selection, buckets, the removals that change")

    memorization: float = key(0.25, ge=-1, le=1)
    """A selected example has at least this memorization."""
    influence: float = key(0.15, ge=-1, le=1)
    """It also has at least this influence on a test example of its class."""
    z: float = key(4.0, ge=0, le=1000)
    """That influence is more than this many standard errors above zero (`estimator: margins` tests
    it by a regression of the margins). Removes noise at a few hundred models; at the paper's 4,000
    it changes nothing (4 standard errors are at most 0.07)."""
    held_out_half: bool = key(
        False, rebuilds="selection, buckets, the removals that change, Table 2"
    )
    """`true`: select by the influence on one half of the test examples (half of each class, drawn
    from the seed) and also report the drop on the other, held-out half (`drop_held_out`), which is
    free of selection bias. Selects fewer examples. [Scope](#the-held-out-half)."""


class Duplicates(Section):
    """Which training images duplicate a test image."""

    model_config = rebuilds("duplicates, buckets, the removals that change")

    near: float = key(0.55, ge=0, le=1)
    """Similarity (1 = identical) from which a training and a test image count as near-duplicates.
    On CIFAR-10, by one annotator, 97% of the test images with a pair at 0.55 or above show the same
    photograph ([evaluation](../docs/duplicates.md))."""
    review: float = key(0.45, ge=0, le=1)
    """Similarity from which a pair is listed in `duplicates.csv` for manual annotation. At most
    `near`. `ranked_pairs.csv` holds the five most similar pairs of every test image."""
    transforms: Annotated[list[Literal["rotate", "flip", "negative"]], Unique] = key([])
    """What is searched besides mirrored, shifted and scaled copies: `rotate` (by 90, 180 and 270
    degrees; takes 4 times as long), `flip` (upside down; twice as long), `negative` (twice as
    long). `[]`: nothing."""
    kinds: Annotated[list[Literal["exact", "near", "scene"]], Unique] = key(
        ["exact", "near", "scene"], rebuilds="buckets, the removals that change"
    )
    """Which duplicates count as leakage: `exact`, `near` (the same photograph, processed
    differently), `scene` (another photograph of the same object in the same scene). The paper
    counts all. Pairs that a published annotation calls visually the same picture (`one_picture` in
    `leaks.csv`) count as `exact`. Manual annotations of your own always count."""
    embedding: (
        Annotated[
            str,
            text(
                r"^(auto|network|classical|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
                "auto, network, classical or package.module:function",
            ),
        ]
        | None
    ) = "auto"
    """How other photographs of a scene are searched, within a class
    ([evaluation](../docs/duplicates.md#other-photographs-of-a-scene)): `network`: by a small
    network trained on the training images (minutes; with fewer than 3,000, as `classical`);
    `classical`: without training, finds fewer; `package.module:function`: by an embedding of your
    own. `null`: not at all. `auto`: `network` for CIFAR-10 and CIFAR-100, `null` for other
    datasets, for which the probabilities have not been checked. Classes with fewer than 50 training
    images are not searched."""
    scene: float = key(0.5, ge=0, le=1)
    """Probability from which a pair is of kind `scene`. That of a selected pair is raised, since an
    influence is evidence."""
    cifair: Annotated[list[Literal["exact", "near", "very similar"]], Unique] = key(
        ["exact", "near"], rebuilds="buckets, the removals that change"
    )
    """For CIFAR-10 and CIFAR-100: ciFAIR's manual annotations that count as duplicates, besides the
    detector; an annotation overrides the detector. `[]`: none. Ignored for other datasets."""
    fz_annotation: bool = key(True, rebuilds="buckets, the removals that change, Table 2")
    """For CIFAR-100: decide F&Z's published pairs by [this project's
    annotation](../data/annotations/README.md) of them, which overrides the detector and ciFAIR.
    Ignored for other datasets."""


class Subpopulations(Section):
    """Which selected examples belong to a subpopulation."""

    by: Literal["rule", "checked"] = key("rule", rebuilds="buckets, the removals that change")
    """`rule`: all that share an influenced test example with another, the paper's definition.
    `checked`: those of them that also look alike, by their coarse colours; better with a few
    hundred models, where some influences are noise. `subpopulations.csv` has both.
    [Evaluation](#the-rule-and-the-check)."""
    similarity: float = key(1.0, rebuilds="subpopulations, buckets, the removals that change")
    """Two training images look alike if their similarity is at least this many standard deviations
    above the median of random pairs of their class."""


class Review(Section):
    """Manual annotation."""

    decisions: str | None = key(
        None, rebuilds="duplicates, buckets, the removals that change, Table 2"
    )
    """CSV file of manual annotations, `item,train,test,decision`, as the review page exports it.
    They override all automatic decisions and ciFAIR's ([format](#manual-annotations)). `null`:
    none."""
