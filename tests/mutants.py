"""Mutated image files: changed headers, EXIF, palettes and sizes, truncated and shuffled data.

    python tests/mutants.py [COUNT] [LARGEST] [SEED]

reads COUNT of them (2,000) of up to LARGEST pixels a side (5,000), searches the readable ones for
duplicates, and prints the number of errors, the longest time for one file and the peak of memory.
"""

import io
import struct
import sys
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image

KINDS = [
    ("JPEG", "RGB", {"quality": 80}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "CMYK", {}),
    ("JPEG", "L", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "LA", {}),
    ("PNG", "P", {"transparency": 0}),
    ("PNG", "P", {"transparency": bytes(range(200))}),
    ("PNG", "1", {}),
    ("PNG", "I;16", {}),
    ("GIF", "P", {"transparency": 3}),
    ("BMP", "RGB", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "I;16", {}),
    ("TIFF", "F", {}),
    ("TIFF", "LAB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "1", {"compression": "group4"}),
    ("WEBP", "RGBA", {}),
    ("AVIF", "RGB", {"speed": 10}),
    ("JPEG2000", "RGB", {}),
    ("PPM", "RGB", {}),
    ("PPM", "I;16", {}),
    ("TGA", "RGBA", {}),
    ("PCX", "P", {}),
    ("ICO", "RGBA", {}),
    ("SGI", "RGB", {}),
    ("DDS", "RGBA", {}),
    ("QOI", "RGB", {}),
]


def image(rng: np.random.Generator, mode: str, largest: int) -> Image.Image:
    """Return a smooth image of a random size from 1 to `largest` pixels, mostly small."""
    sides = np.exp(rng.uniform(0, np.log(largest), 2)).astype(int)
    coarse = rng.integers(0, 256, (3, 3, 4), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize(tuple(sides.tolist()), Image.Resampling.BICUBIC)
    if mode == "I;16":
        gray = np.asarray(smooth.convert("L")).astype(np.uint16)
        return Image.fromarray(gray << np.uint16(rng.integers(0, 9)))
    if mode == "LAB":
        return Image.new("LAB", smooth.size)
    return (
        smooth.convert("RGB").convert(mode) if mode in ("P", "CMYK", "F") else smooth.convert(mode)
    )


def exif(rng: np.random.Generator) -> bytes:
    """Return a block of EXIF with an orientation among random entries."""
    entries = [(0x112, 3, 1, struct.pack("<HH", rng.integers(0, 10), 0))]
    for _ in range(rng.integers(0, 4)):
        tag = rng.choice([0x100, 0x10F, 0x112, 0x11A, 0x11B, 0x128, 0x8769, 0x8825, 0xA002])
        entries.append((tag, rng.integers(0, 14), rng.integers(0, 9), rng.bytes(4)))
    body = b"II*\0" + struct.pack("<LH", 8, len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack("<HHL", tag, kind, count) + value
    return b"Exif\0\0" + body + bytes(4) + rng.bytes(rng.integers(0, 30))


def mutate(rng: np.random.Generator, data: bytes) -> bytes:
    """Return the content of a file with one kind of damage, or none."""
    content = bytearray(data)
    how = rng.integers(8)
    if how in (0, 1):  # the header
        for place in rng.integers(0, min(len(content), 80), rng.integers(1, 6)):
            content[place] = rng.integers(256)
    elif how == 2:  # anywhere
        for place in rng.integers(0, len(content), rng.integers(1, 20)):
            content[place] = rng.integers(256)
    elif how == 3:  # cut
        del content[rng.integers(len(content)) :]
    elif how == 4:  # a piece twice, or at another place
        start, end = sorted(rng.integers(0, len(content), 2))
        place = rng.integers(len(content))
        content[place:place] = content[start : min(end, start + 500)]
    elif how == 5:  # lengths and sizes
        for place in rng.integers(0, max(1, min(len(content), 200) - 4), 2):
            value = rng.choice([0, 1, 255, 65535, 2**31 - 1, 2**32 - 1])
            content[place : place + 4] = struct.pack(rng.choice(["<L", ">L"]), value)
    elif how == 6:  # zeros
        start = rng.integers(len(content))
        content[start : start + 64] = bytes(min(64, len(content) - start))
    return bytes(content)


def mutants(count: int, seed: int, largest: int) -> Iterator[bytes]:
    """Yield the content of `count` files of all kinds."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        name, mode, options = KINDS[number % len(KINDS)]
        buffer = io.BytesIO()
        if name in ("JPEG", "PNG", "WEBP") and rng.random() < 0.5:
            options = options | {"exif": exif(rng)}
        # encoders of some formats are slow, or limited to 256 pixels
        limit = min(largest, {"ICO": 256, "AVIF": 500, "JPEG2000": 1000}.get(name, largest))
        image(rng, mode, limit).save(buffer, name, **options)
        yield mutate(rng, buffer.getvalue())


def _main() -> None:
    import resource
    import tempfile
    from pathlib import Path

    from memaudit.data.images import Scale
    from memaudit.data.reader import Reader
    from memaudit.duplicates import find_duplicates

    count, largest, seed = (
        int(given) for given in (*sys.argv[1:], *("2000", "5000", "0")[len(sys.argv) - 1 :])
    )
    found, slowest = [], (0.0, -1)
    with tempfile.TemporaryDirectory() as folder, Reader() as reader:
        for number, content in enumerate(mutants(count, seed, largest)):
            file = Path(folder, f"{number}.img")
            file.write_bytes(content)
            started = time.process_time()
            if (picture := reader.read(file, Scale(64))) is not None:
                found.append(picture.pixels)
            elif not reader.faults[-1].startswith(str(file)):
                raise AssertionError(reader.faults[-1])
            slowest = max(slowest, (time.process_time() - started, number))
            file.unlink()
    reading = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{count} files, {len(reader.faults)} errors that name the file; the slowest took "
        f"{slowest[0]:.1f} s (file {slowest[1]}); peak {reading:.2f} GB"
    )
    images = np.stack(found)
    pairs = find_duplicates(images[::2], images[1::2])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"finder on {len(images)} images: {len(pairs)} pairs; peak {peak:.2f} GB")


if __name__ == "__main__":
    _main()
