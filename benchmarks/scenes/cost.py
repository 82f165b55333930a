"""CPU time and memory of the search for other photographs of a scene."""

import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from evidence import keep_network

COST = Path(__file__).parents[1] / "results/scene_cost.csv"


def cost(path: Path, network: Path | None, tests: int) -> None:
    """Run the whole search and write CPU time and memory of its steps.

    The peak memory is that of the process up to the end of a step. `ratio` is the CPU time of the
    finder and the search for scenes, without the training, divided by that of the finder alone.
    """
    from memaudit.data.dataset import load
    from memaudit.duplicates import SCORED, find_duplicates, find_scenes

    data, spent, rows = load(path), keep_network(network), []
    part = np.sort(np.random.default_rng(0).permutation(data.n_test)[:tests])
    data = replace(data, test_images=data.test_images[part], test_labels=data.test_labels[part])

    def timed(step, search):
        cpu, wall = time.process_time(), time.perf_counter()
        found = search()
        training = spent.pop("training", 0.0)
        own = time.process_time() - cpu - training
        rows.append(
            {
                "step": step,
                "train_images": data.n_train,
                "test_images": data.n_test,
                "cpu_seconds": f"{own:.0f}",
                "training_cpu_seconds": f"{training:.0f}",
                "wall_seconds": f"{time.perf_counter() - wall:.0f}",
                "ratio": f"{1 + own / float(rows[0]['cpu_seconds']):.2f}" if rows else "1.00",
                "peak_mb": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
            }
        )
        print(rows[-1], flush=True)
        pd.DataFrame(rows).to_csv(COST, index=False)
        return found

    pairs = timed(
        "finder",
        lambda: find_duplicates(data.train_images, data.test_images, review=0, per_test=SCORED),
    )
    for kind in ("network", "classical"):
        timed(kind, lambda kind=kind: find_scenes(data, pairs, kind))
