"""Labelled images, and what a data set of them must be."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from nin_helpers.labelled_images import ImageData, LabelledImages


def part(count=3, labels=None, **options):
    """Return `count` pictures, uint8 unless `options` say otherwise, and their labels."""
    images = torch.zeros(count, 1, 5, 4, **{"dtype": torch.uint8, **options})
    return LabelledImages(images, torch.arange(count) if labels is None else labels)


def own_data(classes=("a", "b", "c"), **parts):
    return ImageData("mine", "My pictures", classes, **{"train": part(), "validation": part(), "test": part(), **parts})


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.uint16, torch.int64])
def test_labels_of_any_whole_numbers_become_those_that_the_loss_takes(dtype):
    data = own_data(["a", "b", "c"], test=part(labels=torch.arange(3).to(dtype)))
    assert data.test.labels.dtype == torch.int64 and data.test.labels.tolist() == [0, 1, 2]
    assert data.classes == ("a", "b", "c") and not data.is_stand_in
    assert replace(data, name="again").test is data.test
    assert str(data) == "My pictures: 3 train, 3 validation, 3 test images of 1 × 5 × 4"


@pytest.mark.parametrize(
    "given, message",
    [
        ({"classes": "abc"}, "classes='abc' must be a tuple of at least two names, no two of them the same"),
        ({"classes": ("a",)}, "classes=('a',) must"),
        ({"classes": ("a", "b", "a")}, "classes=('a', 'b', 'a') must"),
        ({"train": (1, 2)}, "train is of type tuple; it must be LabelledImages(images, labels)"),
        ({"test": LabelledImages(np.zeros(3), 0)}, "test.images is of type ndarray; it must be a tensor"),
        ({"train": part(dtype=torch.float32)}, "train.images are torch.float32 of shape (3, 1, 5, 4); they must be"),
        ({"test": LabelledImages(part().images[0], torch.arange(1))}, "test.images are torch.uint8 of shape (1, 5,"),
        ({"test": LabelledImages(part().images[..., :0], torch.arange(3))}, "test.images are torch.uint8 of shape"),
        ({"train": part(labels=torch.zeros(3))}, "train.labels are torch.float32 of shape (3,); they must be whole"),
        ({"train": part(labels=torch.arange(2))}, "train.labels are torch.int64 of shape (2,); they must be whole"),
        ({"train": part(4)}, "train.labels have 3; with 3 classes each must be 0 to 2"),
        ({"train": part(labels=torch.tensor([0, -1, 1]))}, "train.labels have -1; with 3 classes each must be 0 to 2"),
        ({"test": LabelledImages(part().images[..., :3], torch.arange(3))}, "pictures are (channel, height, width)"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_data_set_is_named(given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        own_data(**given)


def test_images_move_to_a_device_as_uint8_and_nothing_waits_for_them():
    """On the device "meta" there is nothing to look at: whoever did would get an error."""
    data = own_data()
    moved = data.to("meta")
    assert isinstance(moved, ImageData) and (moved.name, moved.classes) == (data.name, data.classes)
    for one in (moved.train, moved.validation, moved.test, moved.train[:2], moved.train.split(2)[0]):
        assert one.images.device.type == one.labels.device.type == "meta"
        assert (one.images.dtype, one.labels.dtype) == (torch.uint8, torch.int64)
    assert data.train.images.device.type == "cpu"


def test_labelled_images_are_indexed_and_split_as_their_tensors_are():
    whole = LabelledImages(torch.arange(12, dtype=torch.uint8).view(3, 1, 2, 2), torch.tensor([5, 6, 7]))
    some = whole[torch.tensor([2, 0])]
    assert some.labels.tolist() == [7, 5] and some.images[0].flatten().tolist() == [8, 9, 10, 11]
    for piece, expected in zip(whole.split(2), (whole[:2], whole[2:]), strict=True):
        assert torch.equal(piece.images, expected.images) and torch.equal(piece.labels, expected.labels)


def test_the_normalisation_is_that_of_the_training_images_in_each_channel():
    images = torch.randint(100, 256, (5, 3, 4, 6), dtype=torch.uint8)
    images[:, 2] = 51  # a fifth of 255, everywhere
    colour, other = (LabelledImages(pictures, torch.arange(5) % 3) for pictures in (images, torch.zeros_like(images)))
    data = own_data(train=colour, validation=other, test=other)
    found, levels = data.normalisation(), images.double().transpose(0, 1).flatten(1) / 255
    assert found["mean"] == pytest.approx(levels.mean(dim=1).tolist(), abs=5e-5) and found["mean"][2] == 0.2
    assert found["std"][:2] == pytest.approx(levels.std(dim=1, correction=0).tolist()[:2], abs=5e-5)
    assert found["std"][2] == 1  # nothing to divide by
    assert data.model_options() == {"in_channels": 3, "num_classes": 3}
    assert own_data().normalisation() == {"mean": 0.0, "std": 1.0}  # plain numbers, as of one channel
