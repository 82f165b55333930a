"""Read or generate the configured dataset and write it as data/<name>.h5."""

from memaudit import store
from memaudit.data import cifar, dataset, image_folder, longtail
from memaudit.study.jobs import job


def make(kind: str, settings: dict, seed: int | None, archive: str | None) -> dataset.Dataset:
    match kind:
        case "longtail":
            return longtail.generate(longtail.LongTail(**settings), seed)
        case "image_folder":
            path, size, cap = (settings.get(k) for k in ("path", "image_size", "per_class"))
            return image_folder.read_image_folder(path, size, cap)
        case "cifar10":
            return cifar.read_cifar10(archive, expected=None)  # the archive's checksum is known
        case "cifar100":
            return cifar.read_cifar100(archive, expected=None)
    raise ValueError(kind)


with job(snakemake.log[0]) as report:
    params = snakemake.params
    data = make(params.kind, params.settings, params.seed, snakemake.input.get("archive"))
    dataset.save(data, snakemake.output.data)
    with store.atomic_write(snakemake.output.digest) as temporary:
        temporary.write_text(f"{data.digest()}\n")
    report.say(
        f"{snakemake.output[0]}: {data.n_train} train and {data.n_test} test images of "
        f"{data.train_images.shape[2]} x {data.train_images.shape[1]} pixels in "
        f"{len(data.class_names)} classes"
    )
