"""Data of one's own: arrays in each layout, folders of pictures, the parts they are shared out into, and the cache."""

import os
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from repository import read

from nin_helpers import pictures
from nin_helpers.datasets import DataError, image_data, load_folder
from nin_helpers.labelled_images import LabelledImages
from nin_helpers.training import make_config

RED, GREEN = (200, 10, 20), (10, 180, 30)
GREYS = {"dark": (90,) * 3, "light": (200,) * 3}
ABC = ("a", "b", "c")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Keep what is cached in a folder of the test."""
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "nin_helpers" / "folders"


def draw(path, colour=RED, size=(30, 20), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def make_folder(root, count=6, **classes):
    """Make `count` pictures of one colour in a folder for each of {class: colour}, no two of the same size."""
    for name, colour in (classes or {"red": RED, "green": GREEN}).items():
        for number in range(count):
            draw(root / name / f"{number}.png", colour, (20 + 3 * number, 40 - number))
    return root


def parts_of(data):
    return data.train, data.validation, data.test


def arrays(count=30, shape=(5, 4), kind=np.asarray):
    """Return (images, labels): image i has i in each pixel, and the label i mod 3."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8).reshape(-1, *[1] * len(shape)), (count, *shape))
    return kind(images.copy()), kind(np.arange(count) % 3)


@pytest.mark.parametrize(
    "shape, channels", [((5, 4), 1), ((5, 4, 3), 3), ((5, 4, 1), 1), ((3, 5, 4), 3), ((1, 5, 4), 1), ((3, 5, 3), 3)]
)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_arrays_of_each_layout_become_three_parts_that_share_no_image(shape, channels, kind):
    data = image_data("mine", arrays(shape=shape, kind=kind), arrays(9, shape, kind), ABC, validation=0.2)
    assert (data.name, data.title, data.classes) == ("mine", "mine", ("a", "b", "c"))
    assert data.train.images.shape[1] == channels and data.train.images.shape[2] == 5
    for part in parts_of(data):
        assert torch.equal(part.images[:, 0, 0, 0].long() % 3, part.labels)
    rest, held_out, tested = (set(part.images[:, 0, 0, 0].tolist()) for part in parts_of(data))
    assert held_out | rest == set(range(30)) and not held_out & rest and tested == set(range(9))
    assert data.validation.labels.bincount().tolist() == [2, 2, 2]


def test_colours_in_the_last_axis_stay_the_colours():
    images = np.zeros((6, 4, 5, 3), np.uint8)
    images[..., 2] = 200
    data = image_data("blue", (images[:, ::-1], [0, 1] * 3), (images, [0, 1] * 3), ("a", "b"))
    assert data.train.images.amax(dim=(0, 2, 3)).tolist() == [0, 0, 200] and data.train.images.shape[1:] == (3, 4, 5)


def test_the_parts_of_labelled_images_are_mixed_and_the_same_for_a_seed():
    whole = LabelledImages(*arrays(shape=(1, 5, 4), kind=torch.as_tensor))
    one, again, other = (image_data("mine", whole, whole, ABC, seed=seed) for seed in (0, 0, 1))
    for part, same, different in zip(*map(parts_of, (one, again, other))):
        assert torch.equal(part.images, same.images) and not torch.equal(part.images, different.images)
        assert part.labels.tolist() != sorted(part.labels.tolist())


@pytest.mark.parametrize(
    "given, message",
    [
        ({"train": arrays()[0]}, "train is of type ndarray; it must be (images, labels)"),
        ({"test": arrays(shape=(5, 4, 2))}, "test has images of shape (30, 5, 4, 2); they must be (count"),
        ({"train": (arrays()[0] / 255.0, arrays()[1])}, "train.images are torch.float64 of shape (30, 1, 5, 4)"),
        ({"classes": (*ABC, "d")}, "class 'd' has 0 pictures, which is too few: each part must get at least one"),
        ({"validation": 1}, "validation=1 must be a share of the pictures, between 0 and 1"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_named(given, message):
    arguments = {"train": arrays(), "test": arrays(), "classes": ABC, **given}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        image_data("mine", **arguments)


def test_a_folder_has_its_classes_in_alphabetical_order_and_each_part_some_of_each(tmp_path):
    data = load_folder(make_folder(tmp_path / "mine", count=12), size=16)
    assert (data.name, data.title, data.classes) == ("mine", "mine", ("green", "red"))
    assert str(data) == "mine: 16 train, 4 validation, 4 test images of 3 × 16 × 16"
    for part in parts_of(data):
        assert part.labels.bincount().tolist() == [len(part) // 2] * 2
        for image, label in zip(part.images, part.labels):
            assert image.flatten(1).unique(dim=1).flatten().tolist() == [list(GREEN), list(RED)][label]


def test_train_and_test_in_folders_of_their_own_are_kept_apart(tmp_path):
    make_folder(tmp_path / "train", red=RED, green=GREEN)
    make_folder(tmp_path / "test", 3, red=(0, 0, 0), green=(0, 0, 0))
    data = load_folder(tmp_path, size=8)
    assert [len(part) for part in parts_of(data)] == [10, 2, 6] and data.classes == ("green", "red")
    assert not data.test.images.any() and data.train.images.amin(dim=(2, 3)).any(dim=1).all()


@pytest.mark.parametrize(
    "classes, color, channels",
    [({}, None, 3), ({}, True, 3), ({}, False, 1), (GREYS, None, 1), (GREYS, True, 3)],
    ids=str,
)
def test_pictures_have_three_channels_unless_all_are_grey_or_one_is_asked_for(tmp_path, classes, color, channels):
    data = load_folder(make_folder(tmp_path / "mine", **classes), color=color, size=4)
    assert data.train.images.shape[1] == channels
    assert not classes or set(data.train.images.unique().tolist()) == {90, 200}


def test_what_is_no_picture_or_hidden_is_left_out(tmp_path):
    folder = make_folder(tmp_path / "mine", count=3)
    for name in ("red/notes.txt", "red/._0.png", ".git/0.png", "__MACOSX/0.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no picture")
    draw(folder / "red" / "deeper" / "4.JPG", format="JPEG")
    data = load_folder(folder, size=4)
    assert data.classes == ("green", "red") and sum(map(len, parts_of(data))) == 7


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda root: None, DataError, "the folder {root} cannot be read: No such file or directory"),
        (lambda root: root.write_text(""), DataError, "the folder {root} cannot be read: Not a directory"),
        (lambda root: make_folder(root, red=RED), DataError, "{root} has 1 folders; it needs one for each class"),
        (lambda root: (make_folder(root) / "blue").mkdir(), DataError, "{root}/blue: no picture is there"),
        (lambda root: draw(make_folder(root) / "one" / "1.png"), ValueError, "class 'one' has 1 pictures, which is"),
        (
            lambda root: (make_folder(root) / "red" / "3.png").write_bytes(b"no picture"),
            DataError,
            "{root}/red/3.png: the file cannot be read as a picture (it has no known format)",
        ),
        (
            lambda root: make_folder(root / "test") and make_folder(root / "train", red=RED, blue=GREEN),
            DataError,
            "the classes differ: {root}/train has blue, red; {root}/test has green, red",
        ),
    ],
    ids=["missing", "a file", "one class", "an empty class", "one picture", "unreadable", "other classes"],
)
def test_a_folder_that_cannot_be_used_is_named(tmp_path, make, error, message):
    make(tmp_path / "mine")
    with pytest.raises(error, match=f"^{re.escape(message.format(root=tmp_path / 'mine'))}"):
        load_folder(tmp_path / "mine", size=4)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"size": 0}, "size=0 must be a whole number of at least 1"),
        ({"color": 3}, "color=3 must be one of True, False, None"),
        ({"validation": 0.5, "test": 0.5}, "validation=0.5 and test=0.5 leave nothing to train on"),
        ({"test": "half"}, "test='half' must be a finite number"),
    ],
)
def test_a_bad_argument_is_named(tmp_path, given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        load_folder(make_folder(tmp_path / "mine"), **given)


@pytest.fixture
def reads(monkeypatch):
    """Return the list of files that are read from now on."""
    seen, read = [], pictures.read_picture_file
    monkeypatch.setattr(pictures, "read_picture_file", lambda path, **more: seen.append(path) or read(path, **more))
    return seen


def test_pictures_are_read_once_and_again_when_a_file_has_changed(tmp_path, reads, cache):
    folder = make_folder(tmp_path / "mine")
    first = load_folder(folder, size=4)
    assert len(reads) == 12 and len(list(cache.iterdir())) == 1
    again = load_folder(folder, size=4, seed=0)
    assert len(reads) == 12 and torch.equal(first.train.images, again.train.images)
    for change, count in (
        (lambda: os.utime(folder / "red" / "0.png", ns=(1, 1)), 12),
        (lambda: (folder / "red" / "0.png").rename(folder / "green" / "new.png"), 12),
        (lambda: (folder / "red" / "1.png").unlink(), 11),
    ):
        reads.clear()
        change()
        load_folder(folder, size=4)
        assert len(reads) == count and len(list(cache.iterdir())) == 1


def test_each_size_is_kept_for_itself_and_a_damaged_cache_is_made_anew(tmp_path, reads, cache):
    folder = make_folder(tmp_path / "mine")
    for size, count in ((4, 12), (5, 24), (4, 24), (5, 24)):
        assert load_folder(folder, size=size).train.images.shape[2] == size
        assert len(reads) == count
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    assert load_folder(folder, size=4).train.images.shape[2] == 4 and len(reads) == 36


def test_a_cache_that_cannot_be_written_is_told_and_no_more(tmp_path, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("no folder")
    with pytest.warns(UserWarning, match="will be read again the next time: .*cannot be written"):
        assert len(load_folder(make_folder(tmp_path / "mine"), size=4).train) == 8


def test_the_notebooks_lines_for_cifar_10_take_what_torchvision_gives(monkeypatch):
    """Run the listing of notebook 10 with a data set of CIFAR-10's kind: bytes in an array, labels in a list."""
    text = read("notebooks", "10_your_pictures.md")
    (listing,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    images = np.random.default_rng(0).integers(256, size=(20, 32, 32, 3), dtype=np.uint8)
    given = SimpleNamespace(data=images, targets=[0, 1] * 10, classes=["airplane", "automobile"])
    fake = SimpleNamespace(CIFAR10=lambda root, train, download: given)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchvision.datasets", fake)
    names = {"make_config": make_config}
    exec(listing, names)
    assert names["cifar"].train.images.shape == (16, 3, 32, 32) and len(names["config"].mean) == 3
