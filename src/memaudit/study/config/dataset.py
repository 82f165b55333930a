"""Keys of the images."""

from typing import Annotated, Literal

from memaudit.study.config.section import Location, Section, key, rebuilds, text


class ImageFolder(Section):
    """Images of your own: a folder per class."""

    model_config = rebuilds("everything")

    path: str | None = None
    """Folder that holds `train/<class>/*` and `test/<class>/*`. Changed images are not detected:
    delete `data/<name>.h5` to read them again."""
    image_size: int | None = key(None, ge=8, le=1024)
    """Side in pixels; images are scaled and cropped to their centre. `null`: as they are, all of
    one size."""
    per_class: int | None = key(None, ge=1)
    """Maximum number of training images per class, and of test images, taken in sorted order.
    `null`: all."""


class Arrays(Section):
    """Images of your own: arrays in an .npz file."""

    model_config = rebuilds("everything")

    path: str | None = None
    """`.npz` file with `train_images`, `train_labels`, `test_images` and `test_labels` (MedMNIST)
    or `x_train`, `y_train`, `x_test` and `y_test` (Keras). Images are uint8 (n, h, w), (n, h, w, 1)
    or (n, h, w, 3), labels are integers (n,) or (n, 1). A changed file is not detected: delete
    `data/<name>.h5` to read it again."""
    validation: Literal["omit", "train", "test"] = "omit"
    """What is done with `val_images` and `val_labels`, if the file has them: `omit` leaves them
    out, `train` and `test` append them to that side."""
    image_size: int | None = key(None, ge=8, le=1024)
    """Side in pixels; images are scaled and cropped to their centre. `null`: as they are."""
    per_class: int | None = key(None, ge=1)
    """Maximum number of training images per class, and of test images, the first ones. `null`:
    all."""


class Cifar(Section):
    """CIFAR-10 or CIFAR-100 that is already on disk."""

    path: Location | None = key(None, rebuilds="nothing: the images are the same")
    """Archive (`cifar-100-binary.tar.gz`, `cifar-100-python.tar.gz`) or extracted folder
    (`cifar-100-binary/`, `cifar-100-python/` as torchvision leaves it), or the folder that contains
    it; likewise for CIFAR-10. The data files are verified by their checksums. `null`: the archive
    or the extracted folder in `data/` or else in `mirror`; if there is none, the binary archive is
    downloaded."""


class GeneratedImages(Section):
    """Synthetic images with a known long tail; the counts are per class."""

    model_config = rebuilds("everything")

    image_size: int = key(ge=8, le=256)
    """Side in pixels."""
    classes: int = key(ge=2, le=10_000)
    """Number of classes; the counts below are per class."""
    head: int = key(ge=1, le=1000)
    """Large subpopulations."""
    head_size: int = key(ge=1, le=1_000_000)
    """Training examples of the largest subpopulation; the r-th has 1/r of it."""
    head_test: float = key(ge=0, le=100)
    """Test examples of a large subpopulation per training example."""
    small: int = key(ge=0, le=100_000)
    """Subpopulations of two or three training examples."""
    small_test: int = key(ge=1, le=1000)
    """Test examples of each small subpopulation."""
    singletons: int = key(ge=0, le=100_000)
    """Subpopulations of one training example and one test example."""
    exact: int = key(ge=0, le=100_000)
    """Singletons whose test example is an exact duplicate."""
    edited: int = key(ge=0, le=100_000)
    """Singletons whose test example is an edited duplicate (mirrored, shifted, brighter, ...)."""
    mislabelled: int = key(ge=0, le=100_000)
    """Training examples with the label of another class."""
    variation: float = key(ge=0, le=3)
    """Variation within a large subpopulation, relative to the contrast of its template."""
    small_variation: float = key(ge=0, le=3)
    """Variation within all other subpopulations."""
    noise: float = key(ge=0, le=100)
    """SD of the pixel noise, on the scale 0 to 255."""


class Dataset(Section):
    """The images."""

    model_config = rebuilds("everything")

    kind: Literal["cifar100", "cifar10", "image_folder", "arrays", "longtail"] = "cifar100"
    """`cifar100`, `cifar10`: verified by checksums, downloaded if needed; `image_folder`: your own
    images, a folder per class; `arrays`: your own images, an `.npz` file; `longtail`: synthetic
    images."""
    name: Annotated[
        str, text("^[A-Za-z0-9._-]+$", "at most 80 letters, digits and ._- only, no blanks", 80)
    ] = "cifar100"
    """The dataset is stored as `data/<name>.h5`. Give each dataset a name of its own."""
    cifar100: Cifar = Cifar()
    cifar10: Cifar = Cifar()
    image_folder: ImageFolder = ImageFolder()
    arrays: Arrays = Arrays()
    longtail: GeneratedImages | None = None
