"""FFCV delivers the resident loader's batches bit for bit, and fails instead of hanging."""

import re
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from conftest import ROOT

from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError
from memaudit.models import ffcv_loader, loaders
from memaudit.models.ffcv_loader import FFCVLoader
from memaudit.models.recipe import Recipe
from memaudit.models.resident_loader import ResidentLoader
from memaudit.models.step import Step
from memaudit.models.training import ModelJob, train_model

CPU = torch.device("cpu")

PIPELINE, WHY = None, ""
try:
    PIPELINE = ffcv_loader.pipeline()
except AuditError as missing:
    WHY = str(missing)
needs_ffcv = pytest.mark.skipif(PIPELINE is None, reason=WHY)


def images(size: int, n_train: int = 150, n_test: int = 40, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)

    def side(n):
        pixels = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
        return pixels, rng.integers(0, 5, n)

    return Dataset(list("abcde"), *side(n_train), *side(n_test))


def assert_same(found, expected) -> int:
    """Compare bits and memory layout batch by batch; return the number of batches."""
    count = 0
    for (one, labels), (other, other_labels) in zip(found, expected, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert one.stride() == other.stride()
        assert torch.equal(one.view(torch.int32), other.view(torch.int32))
        assert labels.dtype == other_labels.dtype == torch.int64
        assert labels.shape == other_labels.shape
        assert torch.equal(labels, other_labels)
        count += 1
    return count


@needs_ffcv
@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_those_of_the_resident_loader(tmp_path, size, padding, workers, rng):
    dataset = images(size)
    ffcv = FFCVLoader(dataset, padding, CPU, tmp_path / "x.beton", workers)
    resident = ResidentLoader(dataset, padding, CPU)
    everything, subset = rng.permutation(150), rng.permutation(150)[:61]
    for mirror in (True, False):
        for order, batch_size, batches in ((everything, 32, 4), (subset, 13, 4), (subset, 64, 1)):
            for epoch in range(3):
                call = (order, batch_size, 2**62 + 7, epoch, mirror)
                count = assert_same(ffcv.train_batches(*call), resident.train_batches(*call))
                assert count == batches
    for side in ("train", "test"):
        found, expected = (loader.evaluation_batches(side) for loader in (ffcv, resident))
        assert assert_same(found, expected) == 1


@needs_ffcv
def test_evaluation_in_several_batches_ends_with_a_short_one(tmp_path):
    dataset = images(4, n_train=1500, n_test=1024)
    ffcv = FFCVLoader(dataset, 2, CPU, tmp_path / "x.beton")
    resident = ResidentLoader(dataset, 2, CPU)
    for side, batches in (("train", 2), ("test", 1)):
        found, expected = (loader.evaluation_batches(side) for loader in (ffcv, resident))
        assert assert_same(found, expected) == batches


@needs_ffcv
def test_oblong_images_that_fill_several_pages(tmp_path, rng):
    """FFCV's pages of 8 MiB hold 1,664 images of 48 x 35; the sides meet within one."""
    pixels = rng.integers(0, 256, (2500, 48, 35, 3), dtype=np.uint8)
    labels = rng.integers(0, 5, 2500)
    dataset = Dataset(list("abcde"), pixels[:2000], labels[:2000], pixels[2000:], labels[2000:])
    ffcv = FFCVLoader(dataset, 3, CPU, tmp_path / "x.beton", 2)
    resident = ResidentLoader(dataset, 3, CPU)
    call = (rng.permutation(2000), 512, 3, 0, True)
    assert_same(ffcv.train_batches(*call), resident.train_batches(*call))
    assert_same(ffcv.evaluation_batches("test"), resident.evaluation_batches("test"))


@needs_ffcv
def test_batches_keep_their_values_and_epochs_may_overlap(tmp_path, rng):
    dataset = images(16)
    ffcv = FFCVLoader(dataset, 2, CPU, tmp_path / "x.beton")
    resident = ResidentLoader(dataset, 2, CPU)
    order = rng.permutation(150)
    calls = [(order, 8, 1, epoch, True) for epoch in range(2)]
    kept = list(zip(*(ffcv.train_batches(*call) for call in calls), strict=True))
    for at, call in enumerate(calls):
        assert_same([pair[at] for pair in kept], resident.train_batches(*call))


@needs_ffcv
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batches_on_a_gpu_that_lags_behind(tmp_path, rng):
    """FFCV refills its buffers before the GPU has computed; batches must not be overwritten."""
    dataset, device = images(32, n_train=4096), torch.device("cuda")
    ffcv = FFCVLoader(dataset, 4, device, tmp_path / "x.beton")
    resident = ResidentLoader(dataset, 4, device)
    call = (rng.permutation(4096), 64, 1, 0, True)

    def slowly(batches):
        for images, labels in batches:
            torch.cuda._sleep(10_000_000)  # cycles, queued on the GPU; nothing waits for it here
            yield images.clone(), labels.clone()

    found, expected = list(slowly(ffcv.train_batches(*call))), resident.train_batches(*call)
    assert found[0][0].device.type == "cuda"
    assert assert_same(found, expected) == 64
    assert_same(ffcv.evaluation_batches("train"), resident.evaluation_batches("train"))


@needs_ffcv
@pytest.mark.parametrize("mirror", [True, False])
def test_a_model_is_the_same_with_either_loader(tmp_path, small_dataset, mirror, rng):
    recipe = Recipe("tiny", 3, 16, 0.1, 0.15, 0.9, 0.001, 1, mirror)
    mask = rng.random(small_dataset.n_train) < 0.7
    torch.set_num_threads(1)
    step = Step(recipe, len(small_dataset.class_names), CPU)
    models = [
        train_model(loader, step, ModelJob(seed=5, trial=2, mask=mask, test_every=1, margins=True))
        for loader in (
            FFCVLoader(small_dataset, 1, CPU, tmp_path / "x.beton"),
            ResidentLoader(small_dataset, 1, CPU),
        )
    ]
    found = [vars(model) | model.margins for model in models]
    for name in found[0].keys() - {"seconds", "margins"}:
        assert found[0][name].tobytes() == found[1][name].tobytes(), name
    assert "test_margin" in found[0]


@needs_ffcv
def test_the_file_is_what_ffcv_itself_would_write(tmp_path):
    from ffcv.fields import IntField, NDArrayField
    from ffcv.writer import DatasetWriter

    dataset = images(16)
    PIPELINE.write_beton(dataset, tmp_path / "ours.beton")
    pixels = np.concatenate([dataset.train_images, dataset.test_images])
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    fields = {"image": NDArrayField(np.dtype("uint8"), (16, 16, 3)), "label": IntField()}
    writer = DatasetWriter(str(tmp_path / "theirs.beton"), fields, num_workers=1)
    writer.from_indexed_dataset(list(zip(pixels, labels, strict=True)))
    assert (tmp_path / "ours.beton").read_bytes() == (tmp_path / "theirs.beton").read_bytes()


@needs_ffcv
def test_a_file_of_other_images_is_rewritten(tmp_path, rng):
    path = tmp_path / "x.beton"
    old, new = images(16, seed=0), images(16, seed=1)
    FFCVLoader(old, 1, CPU, path)
    assert PIPELINE.is_beton_of(old, path)
    written = path.stat().st_mtime_ns
    FFCVLoader(old, 1, CPU, path)
    assert path.stat().st_mtime_ns == written
    relabelled = Dataset(
        old.class_names, old.train_images, 4 - old.train_labels, old.test_images, old.test_labels
    )
    call = (rng.permutation(150), 32, 0, 0, True)
    for dataset in (new, relabelled):
        ffcv, resident = FFCVLoader(dataset, 1, CPU, path), ResidentLoader(dataset, 1, CPU)
        assert_same(ffcv.train_batches(*call), resident.train_batches(*call))
    content = path.read_bytes()
    for damaged in (content[:-1], content + b"0", content[:-5000] + b"x" + content[-4999:], b""):
        path.write_bytes(damaged)
        FFCVLoader(relabelled, 1, CPU, path)
        assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["x.beton"]


@needs_ffcv
def test_a_loader_keeps_working_when_its_file_is_replaced(tmp_path, rng):
    path = tmp_path / "x.beton"
    old = images(16, seed=0)
    ffcv, resident = FFCVLoader(old, 1, CPU, path), ResidentLoader(old, 1, CPU)
    FFCVLoader(images(16, seed=1), 1, CPU, path)
    call = (rng.permutation(150), 32, 0, 0, True)
    assert_same(ffcv.train_batches(*call), resident.train_batches(*call))


FAILING = """
    import sys
    import numpy as np, torch
    from memaudit.data.dataset import Dataset
    from memaudit.models import ffcv_loader
    pipeline = ffcv_loader.pipeline()
    pixels, labels = np.zeros((64, 8, 8, 3), np.uint8), np.zeros(64, np.int64)
    dataset = Dataset(["a"], pixels, labels, pixels, labels)
    loader = ffcv_loader.FFCVLoader(dataset, 1, torch.device("cpu"), sys.argv[1])
    {sabotage}
    for images, labels in loader.train_batches(np.arange(64), 4, 0, 0, True):
        print("batch", flush=True)
    print("reached the end")
"""
SABOTAGE = {
    "the augmentation": """
    def broken(*rest): raise ValueError("sabotage")
    pipeline.cut = broken
    """,
    "a later batch": """
    whole, calls = pipeline.cut, []
    def broken(*rest):
        calls.append(1)
        if len(calls) == 9: raise ValueError("sabotage")
        whole(*rest)
    pipeline.cut = broken
    """,
    "FFCV's own code": """
    def broken(batch): raise ValueError("sabotage")
    loader._loader.memory_manager.context.start_batch = broken
    """,
    "silently": """
    def broken(*rest): raise StopIteration("FFCV gave 0 of 64: sabotage")
    pipeline.cut = broken
    """,
}


@needs_ffcv
@pytest.mark.parametrize("where", SABOTAGE)
def test_an_error_in_ffcv_ends_the_job(tmp_path, where):
    script = textwrap.dedent(FAILING).format(sabotage=textwrap.dedent(SABOTAGE[where]))
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x.beton"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "reached the end" not in done.stdout
    if where == "silently":
        assert "FFCV delivered 0 of 64 examples" in done.stderr
    else:
        assert "ValueError: sabotage\nin FFCV's thread, reading" in done.stderr
    if where == "a later batch":
        assert done.stdout.count("batch") == 8


@needs_ffcv
def test_no_thread_is_left_when_training_stops_within_an_epoch(tmp_path):
    loader = FFCVLoader(images(16), 1, CPU, tmp_path / "x.beton")
    before = threading.active_count()
    batches = loader.train_batches(np.arange(150), 4, 0, 0, True)
    next(batches)
    assert threading.active_count() == before + 1
    started = time.monotonic()
    batches.close()
    assert time.monotonic() - started < 2
    assert threading.active_count() == before


@needs_ffcv
def test_an_order_of_anything_but_examples_is_refused(tmp_path):
    loader = FFCVLoader(images(16), 1, CPU, tmp_path / "x.beton")
    for order, error in (
        (np.ones(150, dtype=bool), TypeError),
        (np.array([0, 150]), IndexError),
        (np.array([-1, 3]), IndexError),
    ):
        with pytest.raises(error):
            next(loader.train_batches(order, 2, 0, 0, True))


@needs_ffcv
def test_no_global_state_is_changed(tmp_path):
    """The number of torch's threads, the random states of torch and numpy."""
    script = """
        import sys
        import numpy as np, torch
        torch.set_num_threads(2)
        np.random.seed(1)
        states = np.random.get_state()[1].copy(), torch.random.get_rng_state()
        from memaudit.data.dataset import Dataset
        from memaudit.models.ffcv_loader import FFCVLoader
        pixels, labels = np.zeros((64, 8, 8, 3), np.uint8), np.zeros(64, np.int64)
        dataset = Dataset(["a"], pixels, labels, pixels, labels)
        loader = FFCVLoader(dataset, 1, torch.device("cpu"), sys.argv[1])
        for batch in loader.train_batches(np.arange(64), 4, 0, 0, True):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
        assert np.array_equal(states[0], np.random.get_state()[1])
        assert torch.equal(states[1], torch.random.get_rng_state())
        import numba.typed
        assert numba.typed.Dict is not dict
    """
    command = [sys.executable, "-c", textwrap.dedent(script), tmp_path / "x.beton"]
    subprocess.run(command, check=True, timeout=120)


def test_the_cache_of_machine_code_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = ffcv_loader._cache_folder()
    assert folder == tmp_path / "memaudit" / "numba"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    other = ffcv_loader._cache_folder()
    assert other != folder
    assert other.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    (tmp_path / "a file").touch()
    assert ffcv_loader._cache_folder().stat().st_mode & 0o777 == 0o700


def test_small_images_stay_on_the_device(tmp_path, small_dataset):
    for setting in ("auto", "resident"):
        loader = loaders.choose_loader(setting, small_dataset, 1, CPU, tmp_path / "x.beton")
        assert isinstance(loader, ResidentLoader)
    assert not (tmp_path / "x.beton").exists()


@needs_ffcv
def test_large_images_are_read_by_ffcv(tmp_path, monkeypatch):
    dataset = images(16)
    need = 150 * 20 * 20 * 3 + 40 * 16 * 16 * 3
    assert loaders.resident_bytes(dataset, 2) == need
    for free, kind in ((4 * need, ResidentLoader), (4 * need - 1, FFCVLoader)):
        monkeypatch.setattr(loaders, "free_bytes", lambda _, free=free: free)
        chosen = loaders.choose_loader("auto", dataset, 2, CPU, tmp_path / "x.beton")
        assert isinstance(chosen, kind)
        chosen = loaders.choose_loader("ffcv", dataset, 2, CPU, tmp_path / "x.beton")
        assert isinstance(chosen, FFCVLoader)


def test_without_ffcv_the_error_says_how_to_install_it(tmp_path, small_dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "ffcv", None)
    monkeypatch.setitem(sys.modules, "memaudit.models.ffcv_pipeline", None)
    with pytest.raises(AuditError, match=r"FFCV cannot be imported .*make \.venv/ffcv"):
        loaders.choose_loader("ffcv", small_dataset, 1, CPU, tmp_path / "x.beton")
    monkeypatch.setattr(loaders, "free_bytes", lambda _: 0)
    with pytest.raises(AuditError, match=r"more than 25% of the 0\.0 GB free on cpu.*make \.venv"):
        loaders.choose_loader("auto", small_dataset, 1, CPU, tmp_path / "x.beton")
    with pytest.raises(AuditError, match="'numpy'; it can be auto, resident, ffcv"):
        loaders.choose_loader("numpy", small_dataset, 1, CPU, tmp_path / "x.beton")


def test_free_memory_is_plausible():
    assert 2**26 < loaders.free_bytes(CPU) < 2**46
    assert 1 <= ffcv_loader.usable_cores() <= 4096


def test_the_second_lock_file_agrees_with_the_first():
    """It is installed on top of the first one, so it may add packages but change none."""

    def pins(name):
        text = (ROOT / name).read_text()
        return {line.removesuffix(" \\") for line in text.splitlines() if re.match(r"\w", line)}

    first, second = pins("requirements.lock"), pins("requirements-ffcv.lock")
    names = {line.partition("==")[0] for line in first}
    assert [line for line in second - first if line.partition("==")[0] in names] == []
    assert "ffcv==1.0.2" in second
    assert "://" not in (ROOT / "requirements-ffcv.lock").read_text()
