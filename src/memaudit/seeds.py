"""Every random choice derives from (study seed, purpose, index), never from a removal or a recipe.

So trial t of two removals shares its initialisation, its order of examples and its augmentation
(common random numbers), and a study grows by adding trials without touching those it has.
"""

import numpy as np

PURPOSES = {
    "dataset": 0,
    "subset": 1,
    "initialisation": 2,
    "order": 3,
    "augmentation": 4,
    "control": 5,
    "bootstrap": 6,
    "half": 7,
    "split": 8,
    "chance": 9,
    "dropout": 10,
}


def sequence(seed: int, purpose: str, *index: int) -> np.random.SeedSequence:
    """The seed sequence of one purpose; `index` is the trial, the epoch, ... as whole numbers."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(PURPOSES[purpose], *index))


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(sequence(seed, purpose, *index)))


def seed64(seed: int, purpose: str, *index: int) -> int:
    """A 63-bit seed for libraries that take one number (`torch.manual_seed`, the augmentation)."""
    return int(sequence(seed, purpose, *index).generate_state(1, np.uint64)[0] >> np.uint64(1))
