"""The numeric precision of convolutions and matrix products, as a recipe asks for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from memaudit.errors import AuditError
from memaudit.models.recipe import PRECISIONS

TF32_CAPABILITY = (8, 0)  # NVIDIA Ampere


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in `precision` (see `Recipe`) on `device`; parameters are float32 always.

    torch's default for convolutions on a GPU is TF32, even where float32 was meant.

    Raises AuditError where `device` cannot compute in TF32, rather than call float32 by that name,
    and for another precision.
    """
    if precision not in PRECISIONS:
        raise AuditError(f"precision {precision}: must be one of {', '.join(PRECISIONS)}")
    if precision == "tf32":
        _check_tf32(device)
    mode = "tf32" if precision == "tf32" else "ieee"
    torch.backends.cuda.matmul.fp32_precision = mode
    torch.backends.cudnn.conv.fp32_precision = mode  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = mode  # type: ignore[attr-defined]
    narrow = precision == "bfloat16"
    # autocast's cache would hold the bfloat16 weights of the step in which they were made
    with torch.autocast(device.type, torch.bfloat16, enabled=narrow, cache_enabled=False):
        yield


def _check_tf32(device: torch.device) -> None:
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < TF32_CAPABILITY:
        raise AuditError(
            f"precision tf32: {device} cannot compute in TF32, which takes an NVIDIA GPU of "
            "compute capability 8.0 or later; set the recipe's precision to float32 or bfloat16"
        )
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        raise AuditError(
            "precision tf32: NVIDIA_TF32_OVERRIDE=0 disables TF32; unset it, or set the recipe's "
            "precision to float32"
        )
