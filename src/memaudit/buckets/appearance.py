"""How alike two images look, on a scale that the dataset sets itself.

No network is asked: an image is described by its coarse colours, at equal brightness and contrast,
and two images are compared by these, mirrored or not. What a cosine means differs between datasets
and classes (frogs on leaves are alike, random fields are not), so it is set against random pairs of
the class.
"""

import numpy as np

_CELLS = 8  # colours are means over so many cells along each side
_REFERENCE = 200  # examples of a class whose pairs are the scale
_BLOCK = 4096  # images, or pairs, at a time
_QUANTILES = (0.1587, 0.5)  # of a normal distribution, a standard deviation apart
_LEAST = 1e-3  # spread of cosines that counts as none


class Appearance:
    """The training images (n, h, w, 3) uint8 with their classes (n,), to ask how alike two look."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self._images, self._labels = images, labels

    def similarity(self, pairs: np.ndarray) -> np.ndarray:
        """How alike the two images of each pair look: float64 (pairs,).

        `pairs` int64 (pairs, 2) are training examples of one class. 0 is as alike as the median of
        random pairs of that class, 1 a standard deviation more. The standard deviation is taken
        from the pairs below the median: those above may be of one subpopulation.
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
        """Median of the cosines of random pairs of a class, and their sd below it."""
        members = np.flatnonzero(self._labels == label)
        few = members[:: max(1, len(members) // _REFERENCE)]
        one, other = np.triu_indices(len(few), k=1)
        low, middle = np.quantile(_alike(_describe(self._images, few), one, other), _QUANTILES)
        return float(middle), max(_LEAST, float(middle - low))


def _describe(images: np.ndarray, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the images at `examples` and of their mirror images, (examples, d) each."""
    blocks = [images[examples[k : k + _BLOCK]] for k in range(0, len(examples), _BLOCK)]
    plain = [_colours(block) for block in blocks]
    mirrored = [_colours(block[:, :, ::-1]) for block in blocks]
    return np.concatenate(plain), np.concatenate(mirrored)


def _alike(described: tuple[np.ndarray, np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of images `a` and `b` (pairs,), the greater of that with b as it is and mirrored."""
    plain, mirrored = described
    found = np.empty(len(a))
    for k in range(0, len(a), _BLOCK):
        one, other = plain[a[k : k + _BLOCK]], b[k : k + _BLOCK]
        cosines = [np.einsum("pd,pd->p", one, x[other]) for x in (plain, mirrored)]
        found[k : k + _BLOCK] = np.maximum(*cosines)
    return found


def _colours(images: np.ndarray) -> np.ndarray:
    """Mean colours of 8x8 cells of images (b, h, w, 3), less their mean, at unit length (b, d)."""
    x = images.astype(np.float32)
    for axis in (1, 2):
        size = x.shape[axis]
        edges = np.arange(_CELLS) * size // _CELLS
        counts = np.maximum(1, np.diff(edges, append=size)).astype(np.float32)
        x = np.add.reduceat(x, edges, axis=axis) / np.expand_dims(counts, (1, 2)[: 3 - axis])
    x = x.reshape(len(x), -1)
    x -= x.mean(axis=1, keepdims=True)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
