"""The checksum at the beginning of a file, in the block that HDF5 reserves for users.

It is verified before HDF5 reads the file.
"""

import hashlib
import stat
from pathlib import Path

SEAL_BYTES = 512  # HDF5's user block, which holds the checksum
_SUPERBLOCK_BYTES = 48  # of HDF5, which follow it
_OPEN_FLAG, _WRITE_FLAGS = 0b001, 0b101  # open for writing; the latter bit: while others read
_HDF5 = b"\x89HDF\r\n\x1a\n"  # first bytes of a file without a checksum, which is not verified


class InUseError(Exception):
    """A file has the flag of a program that writes to it; `is_whole` if its checksum is right."""

    def __init__(self, is_whole: bool | None):
        self.is_whole = is_whole


def seal(digest: str) -> bytes:
    """Return the first block of a file; `digest` is the SHA-256 of what follows."""
    return f"memaudit sha256 {digest}".encode().ljust(SEAL_BYTES, b"\n")


def check_seal(path: str | Path) -> None:
    """Verify the checksum; raises ValueError for damage, InUseError for the flag of a writer."""
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait for a writer
        raise ValueError("not a file")
    with open(path, "rb") as file:
        head = file.read(SEAL_BYTES)
        is_sealed = head.startswith(b"memaudit sha256 ")
        if not is_sealed and not head.startswith(_HDF5):
            raise ValueError("not an HDF5 file" if head else "empty file")
        start = file.read(_SUPERBLOCK_BYTES) if is_sealed else head
        closed = _without_flag(start)
        hashes = [hashlib.sha256(content) for content in dict.fromkeys((start, closed))]
        while is_sealed and (block := file.read(2**20)):
            for each in hashes:
                each.update(block)
    if not is_sealed:
        if closed != start:
            raise InUseError(None)
        return
    matches = [head == seal(each.hexdigest()) for each in hashes]
    if closed != start:
        raise InUseError(matches[1])
    if not matches[0]:
        raise ValueError("wrong checksum: truncated or modified since it was written")


def _without_flag(start: bytes) -> bytes:
    """Return the beginning of an HDF5 file without the flag of a program that writes to it.

    HDF5 sets the flag in the superblock when a file is opened for writing and clears it when the
    file is closed. (https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html)
    """
    if not start.startswith(_HDF5) or len(start) < _SUPERBLOCK_BYTES:
        return start
    at = 20 if start[8] < 2 else 11
    if not start[at] & _OPEN_FLAG:
        return start
    return start[:at] + bytes([start[at] & ~_WRITE_FLAGS]) + start[at + 1 :]
