"""Read or generate the configured dataset and write it as data/<name>.h5."""

from memaudit.data import dataset, image_folder, longtail
from memaudit.errors import AuditError
from memaudit.jobs import job


def make(kind: str, settings: dict, seed: int | None) -> dataset.Dataset:
    match kind:
        case "longtail":
            return longtail.generate(longtail.LongTail(**settings), seed)
        case "image_folder":
            path, size, cap = (settings.get(k) for k in ("path", "image_size", "per_class"))
            return image_folder.read_image_folder(path, size, cap)
    raise AuditError(
        f"dataset.kind = {kind!r}: fetching it is not built yet; use image_folder for images of "
        "your own or longtail for the demo"
    )


with job(snakemake.log[0]) as report:
    data = make(snakemake.params.kind, snakemake.params.settings, snakemake.params.seed)
    dataset.save(data, snakemake.output[0])
    report.say(
        f"{snakemake.output[0]}: {data.n_train} train and {data.n_test} test images of "
        f"{data.train_images.shape[2]} x {data.train_images.shape[1]} pixels in "
        f"{len(data.class_names)} classes"
    )
