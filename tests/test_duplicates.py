"""The duplicate finder on generated images: planted duplicates, similar and unrelated images."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from memaudit.duplicates import (
    find_duplicates,
    find_within,
    finder,
)

CLEAR = 0.9  # least precision of what is called exact or near
FOUND = 0.95  # minimum recall of planted duplicates


def smooth(rng, count, side, sigma):
    """Return unit-variance colour noise (count, side, side, 3), blurred by ``sigma`` pixels."""
    x = rng.normal(size=(count, side, side, 3))
    x = gaussian_filter(x, (0, sigma, sigma, 0), mode="reflect")
    return x / x.std(axis=(1, 2), keepdims=True)


def scenes(rng, count, side):
    """Return float scenes (count, side, side, 3): coarse and fine structure, correlated colours."""
    x = sum(a * smooth(rng, count, side, side / k) for a, k in ((1, 5), (0.8, 10), (0.5, 20)))
    return 0.7 * x.mean(3, keepdims=True) + 0.5 * x


def to_uint8(scene):
    return np.clip(128 + 45 * scene, 0, 255).round().astype(np.uint8)


def shift(image, rng):
    dy, dx = rng.choice([-1, 1], 2) * rng.integers(1, 1 + len(image) // 12, 2)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="edge")
    return padded[4 + dy : 4 + dy + len(image), 4 + dx : 4 + dx + len(image)]


def crop(image, rng):
    side = len(image)
    keep = side * rng.uniform(0.85, 0.9)
    left, top = rng.uniform(0, side - keep, 2)
    box = (left, top, left + keep, top + keep)
    return np.array(Image.fromarray(image).resize((side, side), Image.BICUBIC, box=box))


def jpeg(image, rng):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(50, 80)))
    return np.array(Image.open(buffer))


def tint(image, rng):
    gain, power = rng.uniform(0.75, 1.2, 3), rng.uniform(0.7, 1.4)
    return np.clip(255 * gain * (image / 255) ** power, 0, 255).astype(np.uint8)


def plain(function):
    """Return an edit that applies ``function(float image, rng)`` and goes back to uint8."""
    return lambda image, rng: np.clip(function(image.astype(float), rng), 0, 255).astype(np.uint8)


EDITS = {
    "exact": lambda image, rng: image.copy(),
    "shift": shift,
    "mirror": lambda image, rng: image[:, ::-1],
    "brightness": plain(lambda x, rng: x + rng.choice([-25, 25])),
    "contrast": plain(lambda x, rng: 128 + rng.uniform(0.55, 0.7) * (x - 128)),
    "tint": tint,
    "crop": crop,
    "jpeg": jpeg,
    "noise": plain(lambda x, rng: x + rng.normal(0, 8, x.shape)),
    "blur": plain(lambda x, rng: gaussian_filter(x, (0.6, 0.6, 0))),
    "crop, tint and mirror": lambda image, rng: tint(crop(image, rng), rng)[:, ::-1],
}


def build(side, seed=0, each=6):
    """Return training images, test images, and {test row: (train row, edit)} of the duplicates.

    A third of the training images are similar: twelve scenes, each image with its own smooth change
    and shift. The test images are edited duplicates, more similar images, and unrelated ones.
    """
    rng = np.random.default_rng(seed)
    templates = scenes(rng, 12, side)

    def look_alikes(count):
        change = scenes(rng, 12 * count, side)
        both = to_uint8(np.repeat(templates, count, axis=0) + 0.6 * change)
        return [shift(image, rng) for image in both]

    own = list(to_uint8(scenes(rng, 180, side)))
    train = own + look_alikes(8)
    test, planted = [], {}
    sources = rng.permutation(len(own))[: each * len(EDITS)].reshape(len(EDITS), each)
    for (name, edit), rows in zip(EDITS.items(), sources, strict=True):
        for row in rows:
            planted[len(test)] = (int(row), name)
            test.append(edit(train[row], rng))
    test += look_alikes(4) + list(to_uint8(scenes(rng, 40, side)))
    return np.stack(train), np.stack(test), planted


@pytest.fixture(scope="module", params=[16, 32])
def case(request):
    train, test, planted = build(request.param)
    return train, test, planted, find_duplicates(train, test, review=0)


def test_duplicates_are_found_and_similar_images_are_not(case):
    _, _, planted, pairs = case
    called = [
        (int(test), int(train))
        for train, test, kind in zip(pairs.train, pairs.test, pairs.kind, strict=True)
        if kind != "candidate"
    ]
    missed = [name for test, (train, name) in planted.items() if (test, train) not in set(called)]
    right = sum(planted.get(test, (None,))[0] == train for test, train in called)
    assert len(missed) <= (1 - FOUND) * len(planted), missed
    assert right >= CLEAR * len(called)


def test_exact_duplicates_score_one_and_come_first(case):
    train, test, planted, pairs = case
    exact = {t for t, (_, name) in planted.items() if name == "exact"}
    assert set(pairs.test[pairs.kind == "exact"].tolist()) == exact
    assert (pairs.score[pairs.kind == "exact"] == 1).all()
    assert (train[pairs.train[: len(exact)]] == test[pairs.test[: len(exact)]]).all()


def test_arrays_of_the_result(case):
    train, test, _, pairs = case
    assert pairs.train.dtype == pairs.test.dtype == np.int64
    assert pairs.score.dtype == np.float32
    assert (np.diff(pairs.score) <= 0).all()
    assert pairs.score.min() >= 0 and pairs.score.max() <= 1
    assert (np.bincount(pairs.test, minlength=len(test)) == 5).all()
    assert len(set(zip(pairs.train.tolist(), pairs.test.tolist(), strict=True))) == len(pairs.test)
    assert pairs.train.max() < len(train)


def test_same_input_gives_same_output(case):
    train, test, _, _ = case
    one, two = (find_duplicates(train, test[30:60], review=0) for _ in range(2))
    assert (one.train == two.train).all() and (one.test == two.test).all()
    assert (one.score == two.score).all() and (one.kind == two.kind).all()


def test_lower_scores_than_review_are_omitted(case):
    train, test, planted, _ = case
    test = test[len(planted) - 20 : len(planted) + 10]
    some = find_duplicates(train, test, review=0.5, near=0.9, per_test=2)
    assert some.score.min() >= 0.5
    assert np.bincount(some.test).max() <= 2
    assert ((some.kind == "candidate") == (some.score < 0.9)).all()
    assert len(some.score) < 2 * len(test)


@pytest.mark.parametrize("side", [16, 64])
def test_tiny_sets(side):
    rng = np.random.default_rng(3)
    train, test = to_uint8(scenes(rng, 50, side)), to_uint8(scenes(rng, 10, side))
    test[4] = train[7][:, ::-1]
    test[6] = train[30]
    pairs = find_duplicates(train, test)
    found = set(zip(pairs.test.tolist(), pairs.train.tolist(), pairs.kind.tolist(), strict=True))
    assert {row for row in found if row[2] != "candidate"} == {(4, 7, "near"), (6, 30, "exact")}


def test_one_training_image():
    rng = np.random.default_rng(4)
    train, test = to_uint8(scenes(rng, 1, 16)), to_uint8(scenes(rng, 3, 16))
    test[1] = train[0]
    pairs = find_duplicates(train, test, review=0)
    assert pairs.test[0] == 1 and pairs.kind.tolist() == ["exact", "candidate", "candidate"]


def test_fewer_test_images_than_per_test():
    rng = np.random.default_rng(5)
    train = to_uint8(scenes(rng, 30, 16))
    pairs = find_duplicates(train, train[:2], per_test=7, review=0)
    assert len(pairs.test) == 14
    assert pairs.kind.tolist().count("exact") == 2
    assert sorted(pairs.train[:2]) == [0, 1]


def test_flat_images():
    rng = np.random.default_rng(6)
    train, test = to_uint8(scenes(rng, 40, 32)), to_uint8(scenes(rng, 8, 32))
    train[3], test[0], test[1] = 200, 200, 90
    pairs = find_duplicates(train, test)
    called = pairs.kind != "candidate"
    assert pairs.kind[called].tolist() == ["exact"]
    assert (pairs.train[called][0], pairs.test[called][0]) == (3, 0)


def test_images_of_faint_noise_are_not_near():
    rng = np.random.default_rng(8)
    train, test = (np.uint8(128 + rng.integers(-1, 2, (n, 32, 32, 3))) for n in (60, 20))
    assert "near" not in find_duplicates(train, test).kind


def test_only_flat_images():
    train, test = (np.zeros((n, 16, 16, 3), np.uint8) for n in (9, 2))
    train[:] += np.arange(9, dtype=np.uint8)[:, None, None, None] // 3
    pairs = find_duplicates(train, test + 1, per_test=2, review=0)
    assert pairs.kind.tolist() == ["exact"] * 6
    assert pairs.train.tolist() == [3, 4, 5, 3, 4, 5]


def test_progress_is_reported():
    rng = np.random.default_rng(7)
    images = to_uint8(scenes(rng, 6, 16))
    told = []
    find_duplicates(images, images[:4], progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)


GOOD = np.zeros((3, 16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    "bad", [GOOD.astype(float), GOOD[0], GOOD[..., :1], GOOD[:0], GOOD.transpose(0, 3, 1, 2), "x"]
)
def test_wrong_arrays_are_rejected(bad):
    with pytest.raises(ValueError, match="train_images must be a uint8 array of shape"):
        find_duplicates(bad, GOOD)
    with pytest.raises(ValueError, match="test_images must be a uint8 array of shape"):
        find_duplicates(GOOD, bad)


def test_wrong_sizes_and_numbers_are_rejected():
    with pytest.raises(ValueError, match="same height and width"):
        find_duplicates(GOOD, np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="0 <= review <= near <= 1"):
        find_duplicates(GOOD, GOOD, near=0.3, review=0.5)
    with pytest.raises(ValueError, match="per_test"):
        find_duplicates(GOOD, GOOD, per_test=0)


# --- within one set ---------------------------------------------------------------------------


def test_pairs_within_one_set():
    rng = np.random.default_rng(9)
    images = to_uint8(scenes(rng, 60, 32))
    images[20], images[31] = images[4], images[4]
    images[50] = images[11][:, ::-1]
    images[2] = crop(images[40], rng)
    pairs = find_within(images)
    found = list(zip(pairs.train.tolist(), pairs.test.tolist(), pairs.kind.tolist(), strict=True))
    assert found[:2] == [(4, 20, "exact"), (4, 31, "exact")]
    assert set(found[2:]) == {(11, 50, "near"), (2, 40, "near")}
    assert (pairs.score[:2] == 1).all() and (np.diff(pairs.score) <= 0).all()


def test_within_one_set_every_pair_is_there_once():
    images = to_uint8(scenes(np.random.default_rng(10), 30, 16))
    pairs = find_within(images, per_image=4, review=0)
    assert (pairs.train < pairs.test).all()
    assert len(set(zip(pairs.train.tolist(), pairs.test.tolist(), strict=True))) == len(pairs)
    assert set(pairs.train.tolist()) | set(pairs.test.tolist()) == set(range(30))
    assert 30 * 4 / 2 <= len(pairs) <= 30 * 4


def test_within_one_set_many_equal_images_make_few_pairs():
    images = np.zeros((200, 16, 16, 3), np.uint8)
    pairs = find_within(images)
    assert pairs.kind.tolist() == ["exact"] * 199
    assert (pairs.train == 0).all()
    assert len(find_within(images[:1])) == 0


# --- memory -----------------------------------------------------------------------------------


def test_memory_is_bounded_by_blocks(monkeypatch):
    """However many training images there are, few similarities are held at a time."""
    rng = np.random.default_rng(11)
    train, test = to_uint8(scenes(rng, 50, 16)), to_uint8(scenes(rng, 20, 16))
    whole = find_duplicates(train, test, review=0)
    sizes = []
    candidates = finder.find_candidates

    def counting(features, block, *rest):
        sizes.append(len(features) * len(block))
        return candidates(features, block, *rest)

    monkeypatch.setattr(finder, "find_candidates", counting)
    monkeypatch.setattr(finder, "_SIMILARITIES", 300)
    blocked = find_duplicates(train, test, review=0)
    assert max(sizes) <= 300 and sum(sizes) == len(train) * len(test)
    assert set(zip(blocked.train, blocked.test, strict=True)) == set(
        zip(whole.train, whole.test, strict=True)
    )
    np.testing.assert_allclose(blocked.score, whole.score, atol=1e-5)


# --- odd pictures -----------------------------------------------------------------------------


@pytest.mark.parametrize("side", [32, 64, 100, 224, 256])
def test_flat_images_of_any_size_are_not_near(side):
    """The rounding of the scaling is not structure, also among textured images."""
    rng = np.random.default_rng(9)
    train, test = (np.empty((count, side, side, 3), np.uint8) for count in (40, 24))
    for images in (train, test):
        images[:] = rng.integers(0, 256, (len(images), 1, 1, 3))
    for row in range(20):
        coarse = rng.integers(0, 256, (9, 9, 3), np.uint8)
        train[row] = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    assert "near" not in find_duplicates(train, test).kind
    assert "near" not in find_within(test).kind


@pytest.mark.parametrize(("side", "frame"), [(32, 1), (224, 1), (224, 20)])
def test_flat_images_in_a_frame_are_not_near(side, frame):
    rng = np.random.default_rng(11)
    train, test = (np.full((count, side, side, 3), 255, np.uint8) for count in (30, 10))
    inner = slice(frame, side - frame)
    for images in (train, test):
        images[:, inner, inner] = rng.integers(0, 255, (len(images), 1, 1, 3))
    assert "near" not in find_duplicates(train, test).kind


def test_many_identical_images_make_few_pairs():
    rng = np.random.default_rng(10)
    train, test = (np.zeros((count, 16, 16, 3), np.uint8) for count in (600, 30))
    train[:4] = to_uint8(scenes(rng, 4, 16))
    test[7] = train[2]
    pairs = find_duplicates(train, test)
    exact = pairs.kind == "exact"
    assert set(pairs.train[exact].tolist()) == {2, *range(4, 600)}  # all that leak are listed
    assert set(pairs.test[exact].tolist()) == set(range(30))
    assert np.bincount(pairs.test[exact]).tolist() == [596, *[20] * 6, 1, *[20] * 22]


def turned_copies(rng):
    train = to_uint8(scenes(rng, 30, 32))
    test = np.stack(
        [
            *(np.rot90(train[turns - 1], turns) for turns in (1, 2, 3)),
            train[3][::-1],
            255 - train[4],
            255 - np.rot90(train[5]),
            train[6][:, ::-1],
        ]
    )
    return train, test


@pytest.mark.parametrize(
    "transforms, found",
    [
        ([], {6}),
        (["flip"], {1, 3, 6}),
        (["rotate"], {0, 1, 2, 3, 6}),
        (["negative"], {4, 6}),
        (["rotate", "negative"], set(range(7))),
    ],
)
def test_transformed_copies_are_found_on_request(transforms, found):
    train, test = turned_copies(np.random.default_rng(11))
    pairs = find_duplicates(train, test, transforms=transforms)
    near = pairs.kind == "near"
    assert (pairs.train[near] == pairs.test[near]).all()
    assert set(pairs.test[near].tolist()) == found


def test_transformed_copies_within_one_set():
    train, test = turned_copies(np.random.default_rng(11))
    pairs = find_within(np.concatenate([train, test[:4]]), transforms=["flip"])
    near = pairs.kind == "near"
    assert set(pairs.train[near].tolist()) == {1, 3} and set(pairs.test[near]) == {31, 33}


def test_unknown_transforms_are_rejected():
    with pytest.raises(ValueError, match="rotate, flip, negative, got 'shear'"):
        find_duplicates(GOOD, GOOD, transforms=["shear"])


def test_identity_before_scaling_decides_what_is_exact():
    images = to_uint8(scenes(np.random.default_rng(12), 30, 16))
    content = [bytes([row]) for row in range(30)]
    pairs = find_duplicates(images, images[:2], content=(content, [b"\0", b"other"]))
    assert pairs.kind[:2].tolist() == ["exact", "near"] and pairs.score[1] > 0.99


def test_no_more_threads_than_cores_are_used(monkeypatch):
    before, used = torch.get_num_threads(), []
    monkeypatch.setattr(finder, "usable_cores", lambda: 1)
    images = to_uint8(scenes(np.random.default_rng(13), 6, 16))
    find_duplicates(images, images, progress=lambda *_: used.append(torch.get_num_threads()))
    assert used == [1] and torch.get_num_threads() == before
