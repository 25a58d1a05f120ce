"""Fashion-MNIST, found or downloaded, verified and read; and a stand-in for those who have neither data nor network."""

import contextlib
import gzip
import hashlib
import os
import struct
import tempfile
import warnings
import zlib
from pathlib import Path

import torch

from nin_helpers.checks import check_choice, check_number
from nin_helpers.labelled_images import DataError, ImageData, LabelledImages
from nin_helpers.pictures import image_data as image_data
from nin_helpers.pictures import load_folder as load_folder

CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

# SHA-256 of each official file, unpacked and as the archive NAME.gz (zalandoresearch/fashion-mnist; the archives are
# those whose MD5 sums torchvision's FashionMNIST lists).
FILES = {
    "train-images-idx3-ubyte": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "train-labels-idx1-ubyte": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "t10k-images-idx3-ubyte": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "t10k-labels-idx1-ubyte": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}
MIRRORS = (
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
)
TIMEOUT = (5, 60)  # seconds to connect, and between two pieces of an answer
RETRIES = 1  # of each mirror that was reached


class NoNetworkError(DataError):
    """No mirror could be reached, or none had the official file."""


def load_data(name="auto", root=None, *, download=True, validation=1 / 12):
    """Return an `ImageData` with uint8 images on the CPU.

    name: "fashion_mnist"; "digits", scikit-learn's 1,797 digits of 8 × 8; or "auto", Fashion-MNIST where the folder or
    the network has it and otherwise the digits, with a warning.
    root: the folder that holds FashionMNIST/raw/ with the four files, as archives or unpacked, as torchvision lays them
    out. None: the environment variable NIN_DATA, else the user's cache folder. It is only read if the data is there;
    a download is written into it.
    validation: the share of the training images that is held out, always the same ones: 5,000 of Fashion-MNIST.

    Each file is verified by the checksum of its unpacked content. Raises ValueError for a bad argument; DataError for
    a damaged file, a folder that cannot be written, and, under "fashion_mnist", data that cannot be had.
    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST" (2017), arXiv 1708.07747.
    """
    check_choice("name", name, ("auto", "fashion_mnist", "digits"))
    if not 0 < check_number("validation", validation) < 1:
        raise ValueError(f"validation={validation!r} must be a share of the training images, between 0 and 1")
    if name == "digits":
        return _digits(validation)
    try:
        return _fashion_mnist(data_folder(root), download, validation)
    except NoNetworkError as error:
        if name == "fashion_mnist":
            raise
        warnings.warn(f"STAND-IN DATA: training on scikit-learn's digits, not on Fashion-MNIST. {error}", stacklevel=2)
        return _digits(validation)


def data_folder(root=None):
    """Return the folder that `load_data` reads: `root`, else NIN_DATA, else the user's cache folder."""
    if root is None and not os.environ.get("NIN_DATA"):
        import pooch

        return pooch.os_cache("nin_helpers")
    return Path(root if root is not None else os.environ["NIN_DATA"]).expanduser()


def _fashion_mnist(folder, download, validation):
    raw = folder / "FashionMNIST" / "raw"
    # os.path.exists is False, where Path.exists raises, in a folder that may not be entered
    missing = [name for name in FILES if not any(map(os.path.exists, (raw / name, raw / f"{name}.gz")))]
    if missing:
        if not download:
            raise NoNetworkError(f"{raw} has no {', '.join(missing)} and download=False; {_advice(folder)}")
        with _writable(raw):
            for name in missing:
                _download(name, raw)
    images, labels, test_images, test_labels = (_parse_idx(_verified(raw, name)) for name in FILES)
    train, validation = _hold_out(LabelledImages(images[:, None], labels), validation)
    test = LabelledImages(test_images[:, None], test_labels)
    return ImageData("fashion_mnist", "Fashion-MNIST", CLASSES, train, validation, test)


@contextlib.contextmanager
def _writable(folder):
    """Make `folder`, or raise DataError if it cannot be written; what is new and empty in the end goes again."""
    new = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise DataError(
                f"the data folder {folder} cannot be written ({error.strerror}); name another one by root=… (--data) "
                f"or by the environment variable NIN_DATA"
            ) from error
        yield
    finally:
        for path in new:
            with contextlib.suppress(OSError):  # it holds something, or was never made
                path.rmdir()


def _parse_idx(content):
    """Return the uint8 array in the bytes of an IDX file: two zeros, type 8, the number of axes, sizes, values."""
    axes = content[3]
    shape = struct.unpack_from(f">{axes}I", content, 4)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=4 + 4 * axes).view(shape)


def _verified(raw, name):
    """Return the unpacked bytes of the file `name`, from itself or from its archive, or raise DataError."""
    path = raw / name if (raw / name).exists() else raw / f"{name}.gz"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); delete it, and it is downloaded again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != FILES[name][0]:
        raise DataError(
            f"{path} is damaged or is another file: its {len(content):,} bytes have the SHA-256 {found[:12]}…, "
            f"the official file {FILES[name][0][:12]}…; delete it, and it is downloaded again"
        )
    return content


def _download(name, raw):
    """Download the archive of `name` into the folder `raw`: to a temporary name, verified, then moved into place."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    failures = {}
    for mirror in MIRRORS * (1 + RETRIES):
        if failures.get(mirror) == "not reached":  # no second time-out for it
            continue
        source = pooch.create(raw, mirror + "/", registry={f"{name}.gz": FILES[name][1]})
        try:
            source.fetch(f"{name}.gz", downloader=pooch.HTTPDownloader(timeout=TIMEOUT))
            return
        except requests.ConnectionError:
            failures[mirror] = "not reached"
        except requests.RequestException as error:
            failures[mirror] = str(error)
        except ValueError:
            failures[mirror] = "another file under that name (its checksum differs)"
        except OSError as error:
            reason = f"{error.strerror or error}; the data needs 31 MB"
            raise DataError(f"{raw}/{name}.gz cannot be written: {reason}") from error
    reasons = "; ".join(f"{mirror}: {reason}" for mirror, reason in failures.items())
    raise NoNetworkError(f"no mirror gave {name}.gz ({reasons}); {_advice(raw.parent.parent)}")


def _advice(folder):
    return (
        f"put the four archives into {folder}/FashionMNIST/raw, or name the folder that holds FashionMNIST/raw by "
        f'root=… (--data) or by the environment variable NIN_DATA, or choose name="digits" (--dataset digits)'
    )


def _digits(validation):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()  # 8 × 8 pixels of 0 … 16
    images = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8)[:, None]
    labels = torch.from_numpy(digits.target)
    train, test = train_test_split(range(len(labels)), test_size=0.2, random_state=0, stratify=labels)
    whole = LabelledImages(images, labels)
    train, validation = _hold_out(whole[train], validation)
    title = "DIGITS (stand-in for Fashion-MNIST)"
    return ImageData("digits", title, tuple("0123456789"), train, validation, whole[test], is_stand_in=True)


def _hold_out(part, share):
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))
    count = round(len(part) * share)
    return part[order[count:]], part[order[:count]]
