"""The evidence for the pairs that Feldman and Zhang published."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

PAIRS = Path(__file__).parents[2] / "data/annotations/cifar100_fz_pairs.csv"


def evidence(path: Path) -> pd.DataFrame:
    """Return the terms of F&Z's pairs with the features of a network and classical ones."""
    from memaudit.data.dataset import load
    from memaudit.duplicates import find_duplicates, scene
    from memaudit.duplicates.features import features_of

    data = load(path)
    pairs = pd.read_csv(PAIRS)
    rows = pairs[["train", "test"]].copy()
    rows["duplicate"] = pairs["final"].isin(["exact", "near"]).astype(int)
    rows["near_kind"] = pairs["near_kind"]
    tests, place = np.unique(rows["test"], return_inverse=True)
    part = replace(data, test_images=data.test_images[tests], test_labels=data.test_labels[tests])
    found = find_duplicates(part.train_images, part.test_images, review=0, per_test=scene.SCORED)
    known = zip(found.train.tolist(), found.test.tolist(), strict=True)
    score = dict(zip(known, found.score.tolist(), strict=True))
    own = list(zip(rows["train"].tolist(), place.tolist(), strict=True))
    listed = score | {pair: max(score.get(pair, 0.0), 1e-6) for pair in own}  # candidates anyway
    for kind in ("network", "classical"):
        terms = scene.gather(part, features_of(kind, data, seed=0), listed)
        at = zip(terms.train.tolist(), terms.test.tolist(), strict=True)
        index = {pair: k for k, pair in enumerate(at)}
        for name, values in terms.terms.items():
            column = name if name in ("score", "white") else f"{kind}_{name}"
            rows[column] = values[[index[pair] for pair in own]].astype(float)
    return rows


def keep_network(path: Path | None) -> dict[str, float]:
    """Let the search read the network from a file, or write it if there is none.

    Returns a dictionary that holds the CPU seconds of the training once it has run.
    """
    import torch

    from memaudit.duplicates import features
    from memaudit.models import networks

    train, spent = features.train_network, {}

    def kept(data, seed, *_):
        started = time.process_time()
        if path and path.exists():
            network = networks.build(features.RECIPE.network, len(data.class_names), seed)
            network.load_state_dict(torch.load(path))
            network.eval()
        else:
            network = train(data, seed)
            if path:
                torch.save(network.state_dict(), path)
        spent["training"] = time.process_time() - started
        return network

    features.train_network = kept
    return spent
