"""Training: the same bits from the same seed; no model is trained twice or lost."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from memaudit import bits, store
from memaudit.errors import AuditError
from memaudit.models import job, networks, training
from memaudit.models.optimizer import SGD
from memaudit.models.recipe import Recipe
from memaudit.models.removals import subset_mask, training_mask
from memaudit.models.resident_loader import ResidentLoader
from memaudit.models.shards import Origin, holds_margins, read_shards
from memaudit.models.step import Step
from memaudit.models.training import ModelJob, train_model

RECIPE = Recipe(
    network="tiny",
    epochs=3,
    batch_size=16,
    learning_rate=0.1,
    warmup=0.15,
    momentum=0.9,
    weight_decay=0.0,
    crop_padding=1,
    mirror=True,
)
SUBSET = Origin("subset", RECIPE.settings())


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


CPU = torch.device("cpu")


def train(dataset, recipe=RECIPE, trial=0, seed=0, mask=None, step=None, **options):
    loader = ResidentLoader(dataset, recipe.crop_padding, CPU)
    mask = np.ones(dataset.n_train, dtype=bool) if mask is None else mask
    step = step or Step(recipe, len(dataset.class_names), CPU)
    return train_model(loader, step, ModelJob(seed=seed, trial=trial, mask=mask, **options))


def test_the_same_seed_gives_the_same_bits(small_dataset):
    one, two = train(small_dataset), train(small_dataset)
    assert np.array_equal(one.loss, two.loss)
    assert np.array_equal(one.train_correct, two.train_correct)
    assert not np.array_equal(one.loss, train(small_dataset, trial=1).loss)
    assert not np.array_equal(one.loss, train(small_dataset, seed=1).loss)


def test_evaluation_during_training_changes_nothing(small_dataset):
    plain, watched = train(small_dataset), train(small_dataset, test_every=1)
    assert np.array_equal(plain.loss, watched.loss)
    assert np.isnan(plain.test_accuracy).tolist() == [True, True, False]
    assert not np.isnan(watched.test_accuracy).any()
    assert plain.test_accuracy[-1] == pytest.approx(plain.test_correct.mean())


def test_memorized_examples_are_correct_only_when_trained_on(small_dataset):
    recipe = dataclasses.replace(RECIPE, epochs=25, mirror=False)
    role = small_dataset.planted["train_role"]
    alone = np.isin(role, ["singleton", "exact", "edited"])
    mask = ~alone
    with_them = train(small_dataset, recipe)
    without = train(small_dataset, recipe, mask=mask)
    assert with_them.train_correct[alone].mean() > 0.9
    assert without.train_correct[alone].mean() < 0.6
    assert without.train_correct[mask].mean() > 0.9
    assert with_them.loss[-1] < with_them.loss[0] / 2


def test_the_schedule_is_triangular():
    rates = [RECIPE.rate(step, 1000) for step in range(1000)]
    peak = int(np.argmax(rates))
    assert peak == 150
    assert rates[peak] == pytest.approx(0.1, rel=0.01)
    assert rates[0] == pytest.approx(0.1 * 0.5 / 150)
    assert rates[-1] == pytest.approx(0.1 * 0.5 / 850)
    assert np.allclose(np.diff(rates[:150]), rates[1] - rates[0])
    assert np.allclose(np.diff(rates[150:]), rates[-1] - rates[-2])
    assert dataclasses.replace(RECIPE, warmup=0).rate(0, 10) == pytest.approx(0.095)


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 0.0), (0.9, 0.01), (0.0, 0.01)])
def test_the_optimizer_equals_torch_sgd_bit_for_bit(momentum, weight_decay):
    ours, theirs = (networks.build("tiny", 4, seed=0) for _ in range(2))
    one = SGD(ours.parameters(), momentum, weight_decay)
    two = torch.optim.SGD(theirs.parameters(), lr=1.0, momentum=momentum, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(0)
    for step in range(10):
        images = torch.rand(8, 3, 8, 8, generator=generator)
        for network in (ours, theirs):
            network(images).square().mean().backward()
        one.step(0.1 / (step + 1))
        two.param_groups[0]["lr"] = 0.1 / (step + 1)
        two.step()
        two.zero_grad()
    for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(weight, other)


def test_divergence_names_model_epoch_and_rate(small_dataset):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e30)
    with pytest.raises(
        AuditError, match=r"recipe wild, removal none, trial 4, epoch 1 of 3.*learning rate \d"
    ):
        train(small_dataset, recipe, trial=4, name="recipe wild, removal none")


@pytest.mark.parametrize(
    ("name", "parameters"),
    # counted by hand from the layers' shapes for 10 classes
    [
        ("tiny", 26_266),
        ("small", 561_434),
        ("resnet9", 2_274_890),
        ("resnet18", 11_173_962),
        ("resnet50", 23_520_842),
    ],
)
def test_networks(name, parameters):
    network = networks.build(name, 10, seed=0)
    assert sum(p.numel() for p in network.parameters()) == parameters
    network.eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_weights_depend_on_the_seed_alone_and_leave_the_global_state():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (networks.build("tiny", 4, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    first = [next(iter(network.parameters())) for network in (one, two, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


class Shards:
    """Trains shards in a folder and records which models were trained."""

    def __init__(self, folder, dataset, monkeypatch):
        self.folder, self.dataset = folder, dataset
        self.trained, self.log = [], []
        original = job.train_model

        def counting(loader, step, model_job, checkpoint):
            self.trained.append(model_job.trial)
            if model_job.trial == self.stop_at:
                raise KeyboardInterrupt
            return original(loader, step, model_job, checkpoint)

        self.stop_at = None
        monkeypatch.setattr(job, "train_model", counting)

    def train(self, first, last, recipe=RECIPE, removal="subset", seed=0, margins=False):
        """Train with `margins` kept, as `memorization.store_margins` says."""
        self.trained.clear()
        path = self.folder / removal / f"{first:06d}-{last:06d}.h5"
        masks = {
            trial: training_mask(
                removal,
                trial,
                self.dataset.train_labels,
                seed,
                examples=np.empty(0, int),
                fraction=0.7,
            )
            for trial in range(first, last + 1)
        }
        shard = job.ShardJob(
            path=path,
            recipe_name="original",
            recipe=recipe,
            removal=removal,
            masks=masks,
            seed=seed,
            subset_fraction=0.7,
            margins=margins,
            needs_margins=margins,
        )
        job.train_shard(self.dataset, shard, job.TrainingOptions(device="cpu"), self.log.append)
        return path


@pytest.fixture
def shards(tmp_path, small_dataset, monkeypatch):
    return Shards(tmp_path, small_dataset, monkeypatch)


def content(path):
    with store.reading(path, store.SHARD) as file:
        return {name: file[name][:] for name in file if name != "seconds"}


def same(one, other):
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def test_a_killed_job_resumes_where_it_was(shards):
    first = shards.train(0, 3)
    expected, folder = content(first), first.parent
    first.unlink()
    shards.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        shards.train(0, 3)
    assert not first.exists()
    assert len(list((folder / ".000000-000003.partial").glob("*.h5"))) == 2
    shards.stop_at = None
    path = shards.train(0, 3)
    assert shards.trained == [2, 3]
    assert same(content(path), expected)
    assert [p.name for p in folder.iterdir()] == ["000000-000003.h5"]


def test_models_of_another_configuration_are_not_reused(shards):
    shards.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        shards.train(0, 3)
    shards.stop_at = None
    shards.train(0, 3, recipe=dataclasses.replace(RECIPE, weight_decay=0.1))
    assert shards.trained == [0, 1, 2, 3]


def test_growing_a_study_trains_only_what_is_new(shards):
    shards.train(0, 3)
    shards.train(4, 5)
    path = shards.train(4, 7)
    assert shards.trained == [6, 7]
    shards.train(0, 7)
    assert shards.trained == []
    assert content(path)["trial"].tolist() == [4, 5, 6, 7]
    shards.train(0, 1, seed=1)
    assert shards.trained == [0, 1]


def test_margins_are_those_of_the_predictions(shards):
    kept = content(shards.train(0, 2, margins=True))
    for side, n in (("train", shards.dataset.n_train), ("test", shards.dataset.n_test)):
        margin, log_odds = kept[f"{side}_margin"], kept[f"{side}_log_odds"]
        assert margin.dtype == log_odds.dtype == np.float16
        correct = bits.unpack(kept[f"{side}_correct"], n)
        assert ((margin > 0) == correct)[margin != 0].all()
        # log-odds subtract the log-sum of the other logits, of which there are two
        assert (log_odds <= margin).all()
        assert (log_odds >= margin - np.log(2) - 0.01).all()


def test_keeping_margins_changes_no_model(shards):
    plain = content(shards.train(0, 1))
    kept = content(shards.train(0, 1, margins=True))
    assert shards.trained == [0, 1], "models without margins are trained again"
    assert same(plain, kept)
    assert set(kept) - set(plain) == set(store.MARGINS)
    assert any("2 models were trained without keeping margins" in line for line in shards.log)
    assert same(content(shards.train(0, 1)), kept), "stored margins stay"
    assert shards.trained == []


def test_a_shard_may_hold_models_with_and_without_margins(shards):
    kept = content(shards.train(0, 1, margins=True))
    path = shards.train(0, 2)
    assert shards.trained == [2]
    mixed = content(path)
    assert holds_margins(path) and holds_margins(path.with_name("000002-000004.h5"))
    assert not holds_margins(path.with_name("000003-000004.h5"))
    for name in store.MARGINS:
        assert np.array_equal(mixed[name][:2], kept[name]) and np.isnan(mixed[name][2]).all()
    path.with_name("000000-000001.h5").unlink()
    with pytest.raises(AuditError, match="without keeping margins"):
        read_shards([path], range(3), ["train_margin"], SUBSET)
    shards.train(0, 2, margins=True)
    assert shards.trained == [2]
    assert read_shards([path], range(3), ["train_margin"], SUBSET)["train_margin"].shape[0] == 3


def test_models_with_margins_resume_and_grow(shards):
    whole = content(shards.train(0, 3, margins=True))
    shutil.rmtree(shards.folder / "subset")
    shards.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        shards.train(0, 2, margins=True)
    shards.stop_at = None
    shards.train(0, 2, margins=True)
    assert shards.trained == [2]
    assert same(content(shards.train(0, 3, margins=True)), whole)
    assert shards.trained == [3]


def test_a_study_that_needs_margins_says_which_shard_lacks_them(shards):
    paths = [shards.train(0, 1, margins=True), shards.train(2, 3)]
    fields = ["train_mask", "train_margin", "test_margin"]
    kept = read_shards(paths[:1], range(2), fields, SUBSET)
    assert kept["train_margin"].shape == (2, shards.dataset.n_train)
    with pytest.raises(AuditError, match=r"000002-000003\.h5: .*without keeping margins") as caught:
        read_shards(paths, range(4), fields, SUBSET)
    assert "memorization.estimator to difference" in str(caught.value)
    assert read_shards(paths, range(4), ["train_correct"], SUBSET)["train_correct"].shape[0] == 4


def test_all_subset_models_take_the_same_number_of_steps(shards, monkeypatch):
    """Subset sizes differ by up to three; with batches of this size, so would the steps."""
    steps, original = set(), training.train_epoch
    monkeypatch.setattr(
        training,
        "train_epoch",
        lambda step, batches, rates: steps.add(len(rates)) or original(step, batches, rates),
    )
    n = shards.dataset.n_train
    sizes = {int(subset_mask(n, trial, 0.7, 0).sum()) for trial in range(10)}
    assert len(sizes) > 1
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=max(sizes) - 1)
    assert len({-(-size // recipe.batch_size) for size in sizes}) > 1
    shards.train(0, 9, recipe=recipe)
    assert len(steps) == 1


def test_models_of_an_empty_removal_are_those_on_all_examples(shards):
    full = content(shards.train(0, 1, removal="none"))
    assert same(content(shards.train(0, 1, removal="selected")), full)
    assert shards.trained == []


def test_a_damaged_model_is_trained_again(shards, tmp_path):
    shards.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        shards.train(0, 3)
    leftover = tmp_path / "subset" / ".000000-000003.partial" / "000001.h5"
    leftover.write_bytes(leftover.read_bytes()[:500])
    shards.stop_at = None
    shards.train(0, 3)
    assert shards.trained == [1, 2, 3]


def test_each_model_must_be_there_exactly_once(shards):
    one, two = shards.train(0, 3), shards.train(4, 7)
    found = read_shards([two, one], range(8), ["train_mask", "loss"], SUBSET)
    assert found["loss"].shape == (8, 3)
    assert np.array_equal(
        found["train_mask"][5],
        training_mask("subset", 5, shards.dataset.train_labels, 0, fraction=0.7),
    )
    with pytest.raises(AuditError, match="4 models are missing, the first is trial 4"):
        read_shards([one], range(8), ["loss"], SUBSET)
    with pytest.raises(AuditError, match="trial 0 is in both"):
        read_shards([one, one], range(8), ["loss"], SUBSET)
    with pytest.raises(AuditError, match="holds trial 4, which is not part of this study"):
        read_shards([one, two], range(4), ["loss"], SUBSET)


def test_shards_of_another_removal_are_refused(shards):
    one = shards.train(0, 1, removal="none")
    with pytest.raises(AuditError, match="removal 'none', expected 'subset'"):
        read_shards([one], range(2), ["loss"], SUBSET)


def test_shards_of_two_seeds_are_refused(shards):
    one, two = shards.train(0, 1), shards.train(2, 3, seed=1)
    with pytest.raises(AuditError, match=r"another seed or dataset"):
        read_shards([one, two], range(4), ["loss"], SUBSET)


def test_a_network_too_large_for_the_images_is_refused(shards):
    with pytest.raises(AuditError, match="network resnet9: cannot process images of 8x8"):
        shards.train(0, 0, recipe=dataclasses.replace(RECIPE, network="resnet9"))


def test_shards_of_another_recipe_are_refused(shards):
    one = shards.train(0, 1)
    two = shards.train(2, 3, recipe=dataclasses.replace(RECIPE, epochs=2))
    with pytest.raises(AuditError, match=r"000002-000003\.h5: .*setting epochs 2, expected 3"):
        read_shards([one, two], range(4), ["test_correct"], SUBSET)


def test_bfloat16_rounds_and_learns(small_dataset):
    gentle = dataclasses.replace(RECIPE, learning_rate=0.02, epochs=6)
    wide = train(small_dataset, gentle)
    narrow = train(small_dataset, dataclasses.replace(gentle, precision="bfloat16"))
    assert not np.array_equal(narrow.loss, wide.loss)
    # that it learns as well: without learning the last loss would be a third larger
    np.testing.assert_allclose(narrow.loss, wide.loss, rtol=0.1)
