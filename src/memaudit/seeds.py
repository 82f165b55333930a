"""Seeds: every random choice derives from (study seed, purpose, index), never from a removal.

Trial t of two removals therefore shares its initialisation, example order and augmentation (common
random numbers), and trials can be added without changing those already trained.
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
    """Return the seed sequence of one purpose; `index` is the trial, the epoch, ..."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(PURPOSES[purpose], *index))


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return a NumPy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(sequence(seed, purpose, *index)))


def seed64(seed: int, purpose: str, *index: int) -> int:
    """Return a 63-bit seed, for libraries that take one number such as `torch.manual_seed`."""
    return int(sequence(seed, purpose, *index).generate_state(1, np.uint64)[0] >> np.uint64(1))
