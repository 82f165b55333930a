"""Read or generate the configured dataset and write it as data/<name>.h5."""

from pathlib import Path

from memaudit import store
from memaudit.data import arrays, cifar, dataset, image_folder, longtail
from memaudit.data.fetch import read_sources
from memaudit.study.jobs import job
from memaudit.study.trained import refuse_other_images

with job(snakemake.log[0]) as report:
    kind, settings = snakemake.params.kind, snakemake.params.settings
    if kind == "longtail":
        data = longtail.generate(longtail.LongTail(**settings), snakemake.params.seed)
    elif kind == "image_folder":
        data = image_folder.read_image_folder(
            **settings, report=report.say, scratch=Path(snakemake.output.data).parent
        )
    elif kind == "arrays":
        data = arrays.read_arrays(**settings, scratch=Path(snakemake.output.data).parent)
    else:
        sources = read_sources(snakemake.params.sources)
        data = cifar.read_cifar(kind, snakemake.params.cifar, sources, report.say)
    digest = data.digest()
    refuse_other_images(snakemake.params.results, digest)
    dataset.save(data, snakemake.output.data, {"kind": kind, **settings})
    store.write_text(snakemake.output.digest, f"{digest}\n")
    report.say(
        f"{snakemake.output[0]}: {data.n_train} training and {data.n_test} test images of "
        f"{data.train_images.shape[2]} x {data.train_images.shape[1]} pixels in "
        f"{len(data.class_names)} classes"
    )
