"""The evidence for the pairs that Feldman and Zhang published."""

import csv
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

PAIRS = Path(__file__).parents[2] / "data/annotations/cifar100_fz_pairs.csv"


def evidence(path: Path) -> list[dict[str, float]]:
    """Return the terms of F&Z's pairs with the features of a network and classical ones."""
    from memaudit.data.dataset import load
    from memaudit.duplicates import find_duplicates, scene
    from memaudit.duplicates.features import features_of

    data = load(path)
    with open(PAIRS, newline="") as file:
        rows = [
            {
                "train": int(row["train"]),
                "test": int(row["test"]),
                "duplicate": int(row["final"] in ("exact", "near")),
                "near_kind": row["near_kind"],
            }
            for row in csv.DictReader(file)
        ]
    tests = np.unique([row["test"] for row in rows])
    place = {test: k for k, test in enumerate(tests.tolist())}
    part = replace(data, test_images=data.test_images[tests], test_labels=data.test_labels[tests])
    found = find_duplicates(part.train_images, part.test_images, review=0, per_test=scene.SCORED)
    known = zip(found.train.tolist(), found.test.tolist(), strict=True)
    score = dict(zip(known, found.score.tolist(), strict=True))
    own = [(row["train"], place[row["test"]]) for row in rows]
    listed = score | {pair: max(score.get(pair, 0.0), 1e-6) for pair in own}  # candidates anyway
    for kind in ("network", "classical"):
        terms = scene.gather(part, features_of(kind, data, seed=0), listed)
        at = zip(terms.train.tolist(), terms.test.tolist(), strict=True)
        at = {pair: k for k, pair in enumerate(at)}
        for row in rows:
            k = at[row["train"], place[row["test"]]]
            for name, values in terms.terms.items():
                own = name if name in ("score", "white") else f"{kind}_{name}"
                row[own] = float(values[k])
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
