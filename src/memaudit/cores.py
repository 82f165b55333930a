"""CPU cores of this process."""

import os


def usable_cores() -> int:
    """Return the number of cores this process may use: its affinity (set by Slurm), else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
