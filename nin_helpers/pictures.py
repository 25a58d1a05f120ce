"""Data of one's own: arrays, or a folder of pictures; checked, shared out into three parts, and kept as bytes."""

import contextlib
import functools
import hashlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm import tqdm

from nin_helpers.checks import check_choice, check_number, check_whole_number
from nin_helpers.files import write_whole
from nin_helpers.labelled_images import DataError, ImageData, LabelledImages
from nin_helpers.preprocessing import read_picture

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
CHANNELS = (1, 3)


def image_data(name, train, test, classes, *, title=None, validation=1 / 6, seed=0):
    """Return an `ImageData` of arrays; `train` and `test` are (images, labels) each, of NumPy, torch or lists.

    images: uint8, of shape (count, height, width), (count, height, width, 3) or (count, 1 or 3, height, width).
    labels: whole numbers; label i means classes[i]. title: what plots call the data; None: `name`.
    validation: the share of each class's training images that is held out, at least one image.
    seed: which ones, and the order of the images in each part, which is random.

    Raises ValueError naming the part and what of it does not fit, and a class with too few images.
    """
    _check_shares(validation=validation)
    check_whole_number("seed", seed, 0, 2**32 - 1)
    train, test = _labelled("train", train), _labelled("test", test)
    whole = ImageData(name, title or name, classes, train, train, test)  # says what does not fit
    held_out, rest = share_out(whole.train.labels, whole.classes, {"validation": validation}, seed)
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))
    return replace(whole, train=whole.train[rest], validation=whole.train[held_out], test=whole.test[order])


def load_folder(path, *, size=64, color=None, validation=1 / 6, test=1 / 6, seed=0):
    """Return an `ImageData` of a folder that holds a folder for each class, with its pictures: PATH/CLASS/PICTURE.

    Where PATH holds the folders train and test, and no other, each of these has a folder for each class, and `test` is
    not looked at. Pictures are files with one of `SUFFIXES`, at any depth; names that begin with a dot are left out.
    size: height and width in pixels to which the middle square of each picture is resized. color: True for three
    channels, False for grey, None for three unless all pictures are grey. See `read_picture` for what else is done.
    validation, test: shares of each class's pictures, at least one picture. seed: which ones, and their order.

    What was read is kept in the user's cache folder, until a file's name, size or time changes. Raises DataError naming
    a folder or file that cannot be used; ValueError for a bad argument, and for a class with too few pictures.
    """
    _check_shares(validation=validation, test=test)
    check_whole_number("size", size, 1)
    check_choice("color", color, (True, False, None))
    check_whole_number("seed", seed, 0, 2**32 - 1)
    folder = Path(path).expanduser()
    roots = _roots(folder)
    found = [_find_pictures(root) for root in roots]
    classes = tuple(found[0])
    if any(tuple(files) != classes for files in found):
        told = "; ".join(f"{root} has {', '.join(files)}" for root, files in zip(roots, found))
        raise DataError(f"the classes differ: {told}")
    files = [file for root in found for files in root.values() for file in files]
    labels = torch.tensor([label for root in found for label, files in enumerate(root.values()) for _ in files])
    whole = LabelledImages(_cached(folder, files, size, color), labels)
    if len(roots) == 1:
        shares = {"test": test, "validation": validation}
        parts = [whole[index] for index in share_out(labels, classes, shares, seed)]
    else:
        count = sum(map(len, found[0].values()))
        first, last = whole[:count], whole[count:]
        held_out, rest = share_out(first.labels, classes, {"validation": validation}, seed)
        (order,) = share_out(last.labels, classes, {}, seed)
        parts = last[order], first[held_out], first[rest]
    return ImageData(folder.resolve().name, folder.resolve().name, classes, *reversed(parts))


def read_picture_file(path, **options):
    """Return what `read_picture` makes of the file `path`; DataError names a file that cannot be read."""
    try:
        return read_picture(Path(path).read_bytes(), **options)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def share_out(labels, classes, shares, seed):
    """Return the indices of `labels`, (count,), in parts: one for each of `shares` {name: share}, and what is left.

    Of each class a part gets its share, and at least one; each is in random order, the same for the same seed. Raises
    ValueError for a class with too few.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = [[] for _ in range(len(shares) + 1)]
    for label, name in enumerate(classes):
        index = _shuffled((labels == label).nonzero().flatten(), generator)
        counts = [max(1, round(share * len(index))) for share in shares.values()]
        if len(index) <= sum(counts):
            told = " and ".join(f"{part}={share:.3g}" for part, share in shares.items())
            raise ValueError(
                f"class {name!r} has {len(index)} pictures, which is too few: each part must get at least one of each "
                f"class{told and f', with {told}'}"
            )
        for part, some in zip(parts, index.split([*counts, len(index) - sum(counts)])):
            part.append(some)
    return [_shuffled(torch.cat(part), generator) for part in parts]


def _shuffled(index, generator):
    return index[torch.randperm(len(index), generator=generator)]


def _check_shares(**shares):
    for name, share in shares.items():
        if not 0 < check_number(name, share) < 1:
            raise ValueError(f"{name}={share!r} must be a share of the pictures, between 0 and 1")
    if sum(shares.values()) >= 1:
        told = " and ".join(f"{name}={share!r}" for name, share in shares.items())
        raise ValueError(f"{told} leave nothing to train on; together they must be less than 1")


def _labelled(part, given):
    """Return (images, labels) as `LabelledImages` (count, channel, height, width); the rest `ImageData` checks."""
    if isinstance(given, LabelledImages):
        return given
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ValueError(f"{part} is of type {type(given).__name__}; it must be (images, labels)")
    images, labels = map(_tensor, given)
    if images.dim() == 3:
        images = images[:, None]
    elif images.dim() == 4 and images.shape[1] not in CHANNELS and images.shape[3] in CHANNELS:
        images = images.permute(0, 3, 1, 2).contiguous()
    if images.dim() != 4 or images.shape[1] not in CHANNELS:
        raise ValueError(
            f"{part} has images of shape {tuple(images.shape)}; they must be (count, height, width), "
            f"(count, height, width, 3) or (count, 1 or 3, height, width)"
        )
    return LabelledImages(images, labels)


def _tensor(values):
    if isinstance(values, torch.Tensor):
        return values.cpu()
    return torch.from_numpy(np.require(values, requirements=("C", "W")))  # copied only where torch could not use it


def _roots(folder):
    names = _folders(folder)
    return [folder / "train", folder / "test"] if names == ["test", "train"] else [folder]


def _folders(folder):
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._")
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror or error}") from error


def _find_pictures(root):
    """Return {class: [files]} of the folders in `root`, both sorted; DataError: fewer than two, or no pictures."""
    names = _folders(root)
    if len(names) < 2:
        raise DataError(
            f"{root} has {len(names)} folders; it needs one for each class, at least two, with the pictures in it: "
            f"{root / 'CLASS' / 'PICTURE'}"
        )
    found = {name: sorted(filter(_is_picture, (root / name).rglob("*"))) for name in names}
    empty = [str(root / name) for name, files in found.items() if not files]
    if empty:
        raise DataError(f"{', '.join(empty)}: no picture is there; a picture ends in {', '.join(SUFFIXES)}")
    return found


def _is_picture(path):
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _cached(folder, files, size, color):
    """Return the pictures (count, channel, size, size), uint8, in `files`: from the cache, else read and put there."""
    import pooch

    stats = [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key, name = (hashlib.sha256(repr(it).encode()).hexdigest() for it in (stats, (folder.resolve(), size, color)))
    place = Path(pooch.os_cache("nin_helpers")) / "folders" / f"{name[:16]}.safetensors"
    with contextlib.suppress(OSError, SafetensorError), safe_open(place, "pt") as kept:
        if kept.metadata() == {"key": key}:
            return kept.get_tensor("images")
    images = _read(files, size, color)
    try:
        write_whole(place, save({"images": images}, {"key": key}))
    except OSError as error:
        warnings.warn(f"the pictures will be read again the next time: {error}", stacklevel=3)
    return images


def _read(files, size, color):
    read = functools.partial(read_picture_file, size=size, color=color is not False)
    with ThreadPoolExecutor() as pool:
        pictures = list(tqdm(pool.map(read, files), "pictures", len(files), delay=3))
    images = torch.stack(pictures)
    is_grey = color is None and (images == images[:, :1]).all()
    return images[:, :1].contiguous() if is_grey else images
