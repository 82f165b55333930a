"""Similarity of the appearance of two images, calibrated per class.

No network is involved: an image is described by its coarse colours, normalised for brightness and
contrast, and two images are compared by the cosine of these descriptions, mirrored or not. Typical
cosines differ between datasets and classes, so they are standardized by random pairs of the class.
"""

import numpy as np

_CELLS = 8  # colours are means over 8 x 8 cells
_REFERENCE = 200  # examples per class whose pairs define the scale
_BLOCK = 4096  # images or pairs processed at a time
_QUANTILES = (0.1587, 0.5)  # one standard deviation apart in a normal distribution
_LEAST = 1e-3  # smallest standard deviation of cosines


class Appearance:
    """Appearance of the training images (n, h, w, 3) uint8, with classes (n,)."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self._images, self._labels = images, labels

    def similarity(self, pairs: np.ndarray) -> np.ndarray:
        """Return the similarity of each pair of training examples of one class: float64 (pairs,).

        `pairs` int64 (pairs, 2). 0 is the median of random pairs of the class and 1 is one standard
        deviation above it, estimated from the pairs below the median, because those above may
        belong to one subpopulation.
        """
        found = np.zeros(len(pairs))
        classes = self._labels[pairs[:, 0]]
        for label in np.unique(classes):
            of_class = np.flatnonzero(classes == label)
            examples, ends = np.unique(pairs[of_class], return_inverse=True)
            alike = _alike(_describe(self._images, examples), *ends.reshape(-1, 2).T)
            middle, spread = self._random_pairs(label)
            found[of_class] = (alike - middle) / spread
        return found

    def _random_pairs(self, label: int) -> tuple[float, float]:
        """Return the median cosine of random pairs of a class and their SD below it."""
        members = np.flatnonzero(self._labels == label)
        few = members[:: max(1, len(members) // _REFERENCE)]
        one, other = np.triu_indices(len(few), k=1)
        low, middle = np.quantile(_alike(_describe(self._images, few), one, other), _QUANTILES)
        return float(middle), max(_LEAST, float(middle - low))


def _describe(images: np.ndarray, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors of images and of their mirror images, (examples, d) each."""
    blocks = [images[examples[k : k + _BLOCK]] for k in range(0, len(examples), _BLOCK)]
    plain = [_colours(block) for block in blocks]
    mirrored = [_colours(block[:, :, ::-1]) for block in blocks]
    return np.concatenate(plain), np.concatenate(mirrored)


def _alike(described: tuple[np.ndarray, np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of images `a` and `b` (pairs,), the maximum over b and b mirrored."""
    plain, mirrored = described
    found = np.empty(len(a))
    for k in range(0, len(a), _BLOCK):
        one, other = plain[a[k : k + _BLOCK]], b[k : k + _BLOCK]
        cosines = [np.einsum("pd,pd->p", one, x[other]) for x in (plain, mirrored)]
        found[k : k + _BLOCK] = np.maximum(*cosines)
    return found


def _colours(images: np.ndarray) -> np.ndarray:
    """Return mean colours of 8x8 cells of images (b, h, w, 3), centred, of unit length (b, d)."""
    x = images.astype(np.float32)
    for axis in (1, 2):
        size = x.shape[axis]
        edges = np.arange(_CELLS) * size // _CELLS
        counts = np.maximum(1, np.diff(edges, append=size)).astype(np.float32)
        x = np.add.reduceat(x, edges, axis=axis) / np.expand_dims(counts, (1, 2)[: 3 - axis])
    x = x.reshape(len(x), -1)
    x -= x.mean(axis=1, keepdims=True)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
    return x
