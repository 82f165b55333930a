"""The choice of the device and of the precision, with a pretended GPU."""

import dataclasses
import types

import pytest
import torch
from test_training import RECIPE

from memaudit.errors import AuditError, Stopped
from memaudit.models import device, job
from memaudit.models import gpus as gpus_module
from memaudit.models.device import choose_device, is_supported, take_gpu
from memaudit.models.precision import computing_in

GPU = torch.device("cuda", 0)
VARIABLES = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_JOB_ID")
ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Pretend that torch sees two H100s; attributes of the result change what it sees."""
    seen = types.SimpleNamespace(capability=(9, 0), count=2, available=True)
    cuda = torch.cuda
    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(device, "_chosen", [])
    monkeypatch.setattr(cuda, "is_available", lambda: seen.available)
    monkeypatch.setattr(cuda, "device_count", lambda: seen.count)
    monkeypatch.setattr(cuda, "get_device_capability", lambda index: seen.capability)
    monkeypatch.setattr(cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(cuda, "get_device_name", lambda index: "Some GPU")
    monkeypatch.setattr(cuda, "get_arch_list", lambda: ARCHITECTURES)
    monkeypatch.setattr(cuda, "set_device", lambda index: None)
    monkeypatch.setattr(
        cuda,
        "get_device_properties",
        lambda index: types.SimpleNamespace(uuid=f"uuid-{index}", total_memory=80 * 2**30),
    )
    monkeypatch.setattr(gpus_module, "GIVEN", "nowhere/*")
    for name in (*VARIABLES, "NVIDIA_TF32_OVERRIDE"):
        monkeypatch.delenv(name, raising=False)
    return seen


@pytest.fixture(autouse=True)
def same_backends():
    """Restore torch's settings of precision and determinism."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    deterministic = torch.backends.cudnn.deterministic
    yield
    torch.backends.cudnn.deterministic = deterministic
    for backend, value in zip(backends, before, strict=True):
        backend.fp32_precision = value


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_too_little_memory_is_one_message(gpus, monkeypatch, error, is_memory):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 24 * 2**30))
    recipe = dataclasses.replace(RECIPE, network="resnet50", batch_size=512)
    expected = AuditError if is_memory else RuntimeError
    with pytest.raises(expected) as found, device.enough_memory("recipe a", recipe, GPU):
        raise error
    if is_memory:
        assert str(found.value).startswith(
            "recipe a: the memory of Some GPU (1.0 of 24.0 GiB free) does not suffice for resnet50 "
            "with batches of 512 images in float32. Lower training.processes_per_gpu"
        )


def test_a_process_chooses_its_gpu_once(gpus):
    """A second shard in the same process must not wait for the GPU that the first one locked."""
    gpus.count = 1
    log = []
    for _ in range(2):
        assert choose_device("auto", log.append, stopping=lambda: bool(log)) == GPU
    assert log == []


def test_unused_gpus_are_taken_first_and_waiting_ends_on_sigterm(gpus):
    names = {0: "a", 1: "b"}
    locks = []
    for expected in (0, 1, 0, 1):
        index, lock = take_gpu(names, print, share=2)
        locks.append(lock)
        assert index == expected
    log = []
    with pytest.raises(Stopped, match="waiting for a GPU"):
        take_gpu(names, log.append, share=2, stopping=lambda: bool(log))
    assert log == ["all 2 GPUs are in use; waiting for one"]
    locks[2].release()
    assert take_gpu(names, print, share=2)[0] == 0


def test_a_lock_names_the_card_however_it_is_numbered(gpus, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    choose_device("cuda")
    assert [path.name for path in tmp_path.glob("*/*")] == ["gpu-uuid-0.lock"]


@pytest.mark.parametrize(
    ("capability", "architectures", "supported"),
    [
        ((7, 0), ARCHITECTURES, False),
        ((7, 5), ARCHITECTURES, True),
        ((8, 9), ARCHITECTURES, True),
        ((10, 3), ARCHITECTURES, True),
        ((13, 0), ARCHITECTURES, False),
        ((13, 0), [*ARCHITECTURES, "compute_120"], True),
        ((9, 0), ["sm_90a"], True),
        ((9, 4), ["gfx942"], True),
    ],
)
def test_supported_cards(capability, architectures, supported):
    assert is_supported(capability, architectures) is supported


def test_a_card_without_kernels_is_refused(gpus):
    gpus.capability = (7, 0)
    with pytest.raises(AuditError, match=r"sm_75 .* not Some GPU \(compute capability 7\.0\)"):
        choose_device("auto")


@pytest.mark.parametrize("built_for", ["13.2", None])
def test_a_gpu_that_was_given_and_cannot_be_used_stops_the_job(gpus, monkeypatch, built_for):
    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    gpus.available = False
    log = []
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    assert choose_device("auto", log.append).type == "cpu"
    assert log.pop() == "no GPU found; using the CPU"
    reason = "driver on your system is too old" if built_for else "is a build without CUDA"
    monkeypatch.setenv("SLURM_JOB_GPUS", "3")
    with pytest.raises(AuditError, match=f"SLURM_JOB_GPUS=3.*{reason}.*device to 'cpu'"):
        choose_device("auto", log.append)
    assert choose_device("cpu", log.append).type == "cpu"
    assert "a GPU was given to this job (SLURM_JOB_GPUS=3), but training.device" in log.pop()
    with pytest.raises(AuditError, match=f"'cuda', but torch can use no GPU here.*{reason}"):
        choose_device("cuda")


@pytest.mark.parametrize("hidden", ["-1", "NoDevFiles", ""])
def test_hidden_gpus_are_not_used(gpus, monkeypatch, hidden):
    gpus.available = False
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setenv("SLURM_JOB_GPUS", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(AuditError, match=f"CUDA_VISIBLE_DEVICES={hidden} hides all GPUs; unset"):
        choose_device("cuda")


@pytest.mark.filterwarnings("ignore:User provided device_type")
@pytest.mark.parametrize(
    ("precision", "mode"), [("float32", "ieee"), ("bfloat16", "ieee"), ("tf32", "tf32")]
)
def test_float32_is_not_tf32(gpus, precision, mode):
    torch.backends.cudnn.conv.fp32_precision = "tf32"  # torch's default
    with computing_in(precision, GPU):
        assert torch.backends.cudnn.conv.fp32_precision == mode
        assert torch.backends.cudnn.rnn.fp32_precision == mode
        assert torch.backends.cuda.matmul.fp32_precision == mode


def test_tf32_is_refused_where_it_would_be_float32(gpus, monkeypatch, small_dataset, tmp_path):
    with pytest.raises(AuditError, match="cpu cannot compute in TF32"):
        computing_in("tf32", torch.device("cpu")).__enter__()
    gpus.capability = (7, 5)
    with pytest.raises(AuditError, match=r"cuda:0 cannot compute in TF32"):
        computing_in("tf32", GPU).__enter__()
    gpus.capability = (9, 0)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    with pytest.raises(AuditError, match="NVIDIA_TF32_OVERRIDE"):
        computing_in("tf32", GPU).__enter__()
    shard = job.ShardJob(
        path=tmp_path / "none" / "000000-000000.h5",
        recipe_name="original",
        recipe=dataclasses.replace(RECIPE, precision="tf32"),
        removal="none",
        masks={0: small_dataset.train_labels >= 0},
        seed=0,
    )
    with pytest.raises(AuditError, match="set the recipe's precision to float32"):
        job.train_shard(small_dataset, shard, job.TrainingOptions(device="cpu"), print)
