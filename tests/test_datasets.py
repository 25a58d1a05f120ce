"""Finding, verifying, downloading and reading the data.

The mechanics are tested on small IDX files with checksums of their own, against mirrors on this machine; the official
files where NIN_DATA has them.
"""

import contextlib
import errno
import gzip
import hashlib
import http.server
import io
import itertools
import os
import pwd
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from torchvision.datasets import FashionMNIST

from nin_helpers import datasets
from nin_helpers.datasets import DataError, NoNetworkError, data_folder, load_data

REAL_FILES = datasets.FILES  # before a fixture replaces them
NAMES = tuple(REAL_FILES)
ARCHIVES = [f"{name}.gz" for name in NAMES]
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES


def idx(array):
    """Return `array` (uint8) in the IDX format: two zeros, type 8, the number of axes, their sizes, the values."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def official(monkeypatch):
    """Make four small files the official ones, and return {name: content}; image i has the label i mod 10."""
    pixels = np.random.default_rng(0).integers(0, 256, (80, 28, 28))
    content = dict(zip(NAMES, map(idx, (pixels[:60], np.arange(60) % 10, pixels[60:], np.arange(20) % 10))))
    sums = {name: (sha256(plain), sha256(archive(plain))) for name, plain in content.items()}
    monkeypatch.setattr(datasets, "FILES", sums)
    return content


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def archive(content):
    return gzip.compress(content, mtime=0)  # without the time of day the same bytes each time


def archives(content):
    return {f"{name}.gz": archive(plain) for name, plain in content.items()}


def put(root, content, unpacked=()):
    """Write the files `content` below `root`: those named in `unpacked` as they are, the others as archives."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, plain in content.items():
        path = raw / (name if name in unpacked else f"{name}.gz")
        path.write_bytes(plain if name in unpacked else archive(plain))
    return raw


def snapshot(folder):
    """Return all that a test can see change: paths, contents and times of writing."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def assert_is_official(data, content):
    """Compare with the bytes behind the IDX headers, 16 before images, and with the rule of the labels."""
    assert (data.name, data.is_stand_in) == ("fashion_mnist", False)
    assert data.test.images.numpy().tobytes() == content[TEST_IMAGES][16:]
    assert data.test.labels.tolist() == [i % 10 for i in range(20)]
    pixels = [content[TRAIN_IMAGES][16 + 784 * i : 16 + 784 * (i + 1)] for i in range(60)]
    assert len(data.train) + len(data.validation) == 60
    assert as_set(data.train) | as_set(data.validation) == {(image, i % 10) for i, image in enumerate(pixels)}


def as_set(part):
    return {(image.tobytes(), label) for image, label in zip(part.images.numpy(), part.labels.tolist())}


@pytest.mark.parametrize("unpacked", [(), (TRAIN_IMAGES, TEST_LABELS), NAMES], ids=["none", "some", "all"])
def test_data_that_is_there_is_loaded_and_nothing_is_written(official, tmp_path, unpacked):
    raw = put(tmp_path, official, unpacked)
    (raw / "notes.txt").write_text("mine")
    for name in unpacked:  # an unpacked file comes first
        (raw / f"{name}.gz").write_bytes(b"never looked at")
    before = snapshot(tmp_path)
    assert_is_official(load_data("auto", str(tmp_path)), official)
    assert snapshot(tmp_path) == before


@contextlib.contextmanager
def closed_folder(mode, content):
    """Put the files `content` into a folder of this mode, and act as a user who owns nothing: root may do anything."""
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(dir="/tmp") as root:  # outside pytest's own, which root closes to others
        for folder in (put(Path(root), content), Path(root)):
            folder.chmod(mode)
        if is_root:
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            yield Path(root)
        finally:
            if is_root:
                os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_read(official):
    with closed_folder(0o555, official) as root:
        with pytest.raises(PermissionError):
            (root / "FashionMNIST" / "raw" / "probe").touch()
        assert_is_official(load_data("fashion_mnist", str(root)), official)


# ---- folders that cannot be used: digits would hide it


def test_a_file_in_the_place_of_the_folder_is_one_clear_message(official, tmp_path):
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DataError, match=r"^the data folder .*cannot be written \(Not a directory\).*NIN_DATA$"):
        load_data("auto", tmp_path / "data")
    assert (tmp_path / "data").read_text() == "not a folder"


@pytest.mark.parametrize("mode", [0o555, 0], ids=["written", "entered"])
def test_a_folder_that_cannot_be_so_used_is_one_clear_message(mode):
    message = r"^the data folder .*cannot be written \(Permission denied\).*root=…"
    with closed_folder(mode, {}) as root, pytest.raises(DataError, match=message):
        load_data("auto", root)


def test_a_folder_in_the_place_of_a_file_is_one_clear_message(official, tmp_path):
    raw = put(tmp_path, official)
    (raw / TEST_LABELS).mkdir()
    with pytest.raises(DataError, match=rf"^{raw / TEST_LABELS} cannot be read: Is a directory$"):
        load_data("auto", tmp_path)


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "one bit": lambda content: content[:50] + bytes([content[50] ^ 1]) + content[51:],
    "foreign": lambda content: archive(b"another file"),
}


@pytest.mark.parametrize("unpacked", [(), NAMES], ids=["archives", "unpacked"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_and_the_rest_stays(official, tmp_path, damage, unpacked):
    raw = put(tmp_path, official, unpacked)
    path = raw / (TEST_IMAGES if unpacked else f"{TEST_IMAGES}.gz")
    path.write_bytes(damage(path.read_bytes()))
    before = snapshot(tmp_path)
    with pytest.raises(DataError, match=rf"^{path} is damaged .*delete it") as caught:
        load_data("auto", tmp_path)
    assert not isinstance(caught.value, NoNetworkError) and snapshot(tmp_path) == before


def whole(body):
    return 200, body, len(body)


class Mirror(http.server.ThreadingHTTPServer):
    """A web server with the archives of `content`; `change` makes its answer of a good one's body.

    An answer is the status, the body and the length that is announced.
    """

    def __init__(self, content, change=whole):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.change, self.asked = archives(content), change, []
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        mirror, name = self.server, self.path[1:]
        mirror.asked.append(name)
        status, body, length = mirror.change(mirror.files[name]) if name in mirror.files else (404, b"", 0)
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked may have given up
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def use(monkeypatch):
    """Return a function that makes mirrors the ones that are asked, in order, and returns the last one."""
    with contextlib.ExitStack() as stack:

        def use(*mirrors):
            for mirror in mirrors:
                stack.enter_context(mirror)
                stack.callback(mirror.shutdown)
            monkeypatch.setattr(datasets, "MIRRORS", tuple(mirror.address for mirror in mirrors))
            return mirrors[-1]

        yield use


def assert_downloaded(root, official):
    """The four archives lie in place, with nothing beside them."""
    raw = root / "FashionMNIST" / "raw"
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == archives(official)


def test_what_a_mirror_gave_before_it_failed_is_kept_and_only_the_rest_is_downloaded(official, use, tmp_path):
    use(Mirror({name: official[name] for name in NAMES[:2]}))
    with pytest.raises(NoNetworkError, match=rf"^no mirror gave {TEST_IMAGES}.gz .*404"):
        load_data("fashion_mnist", tmp_path)
    raw, mirror = tmp_path / "FashionMNIST" / "raw", use(Mirror(official))
    before = snapshot(raw)
    for _ in range(2):  # the second time all is there
        assert_is_official(load_data("auto", tmp_path), official)
    assert mirror.asked == ARCHIVES[2:]
    assert before.items() <= snapshot(raw).items()
    assert_downloaded(tmp_path, official)


FAILURES = {
    "500": lambda body: (500, b"out of order", 12),
    "sends another file": lambda body: whole(archive(b"another file")),
    "sends a page of a captive portal": lambda body: whole(b"<html>please log in</html>"),
    "breaks off": lambda body: (200, body[:99], len(body)),
    "is truncated": lambda body: whole(body[:99]),
    "hangs": lambda body: time.sleep(0.5) or whole(body),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_mirror_that_fails_leaves_nothing_and_the_next_one_helps(official, use, monkeypatch, tmp_path, how):
    monkeypatch.setattr(datasets, "TIMEOUT", (5, 0.2))
    bad = use(Mirror(official, FAILURES[how]))
    with pytest.raises(NoNetworkError, match=rf"^no mirror gave {TRAIN_IMAGES}.gz \({bad.address}: .*root=…"):
        load_data("fashion_mnist", tmp_path / "mistyped" / "data")
    assert list(tmp_path.iterdir()) == []
    use(Mirror(official, FAILURES[how]), Mirror(official))
    assert_is_official(load_data("fashion_mnist", tmp_path / "new" / "data"), official)
    assert_downloaded(tmp_path / "new" / "data", official)


@pytest.mark.parametrize(
    "error, raised, told",
    [
        (OSError(errno.ENOSPC, "No space left"), DataError, "{path} cannot be written: No space left; the data needs"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
    ids=["full disk", "stop button"],
)
def test_an_error_in_the_middle_of_a_download_leaves_nothing(official, use, monkeypatch, tmp_path, error, raised, told):
    class Breaking(io.FileIO):
        def write(self, content):
            super().write(content[:10])
            raise error

    use(Mirror(official))
    monkeypatch.setattr("pooch.downloaders.open", Breaking, raising=False)
    with pytest.raises(raised) as caught:
        load_data("auto", tmp_path / "data")
    path = tmp_path / "data" / "FashionMNIST" / "raw" / f"{TRAIN_IMAGES}.gz"
    assert type(caught.value) is raised  # no NoNetworkError: digits would hide that the disk is full
    assert str(caught.value).startswith(told.format(path=path)) and list(tmp_path.iterdir()) == []


def test_a_mirror_that_answers_is_asked_again(official, use, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "RETRIES", 1)
    changes = itertools.cycle((FAILURES["500"], whole))
    mirror = use(Mirror(official, lambda body: next(changes)(body)))
    assert_is_official(load_data("fashion_mnist", tmp_path), official)
    assert mirror.asked == sorted(ARCHIVES * 2, key=ARCHIVES.index)


def test_a_mirror_that_is_not_reached_is_not_asked_again(official, monkeypatch, tmp_path):
    """Without a network each question takes as long as the time-out; a mirror that answers may do better later."""
    monkeypatch.setattr(datasets, "RETRIES", 2)
    asked, get = [], requests.get
    monkeypatch.setattr(requests, "get", lambda url, **options: asked.append(url) or get(url, **options))
    with pytest.raises(NoNetworkError, match="not reached"):
        load_data("fashion_mnist", tmp_path)
    assert asked == [f"{datasets.MIRRORS[0]}/{TRAIN_IMAGES}.gz"]


def test_without_data_and_network_auto_takes_the_digits_and_says_so(official, tmp_path, digits):
    with pytest.warns(UserWarning, match=r"STAND-IN.*digits, not on Fashion-MNIST.*not reached") as caught:
        data = load_data("auto", tmp_path)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert data.is_stand_in and torch.equal(data.test.images, digits.test.images)


def test_a_download_can_be_forbidden(official, use, tmp_path):
    mirror = use(Mirror(official))
    with pytest.raises(NoNetworkError, match="download=False") as caught:
        load_data("fashion_mnist", tmp_path / "data", download=False)
    assert mirror.asked == [] and list(tmp_path.iterdir()) == []
    for advice in (f"{tmp_path}/data/FashionMNIST/raw", "root=…", "NIN_DATA", 'name="digits"'):
        assert advice in str(caught.value)


def test_root_comes_before_nin_data_before_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("NIN_DATA", "/from/environment")
    assert data_folder("~/data") == tmp_path / "data"
    assert data_folder() == Path("/from/environment")
    monkeypatch.setenv("NIN_DATA", "")
    assert data_folder() == tmp_path / "cache" / "nin_helpers"


@pytest.mark.parametrize("name, value", [("name", "mnist"), ("validation", 0), ("validation", 1), ("validation", ".5")])
def test_a_bad_argument_is_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name}={value!r} must be "):
        load_data(**{"name": "digits", name: value})


def test_the_held_out_images_are_always_the_same(official, monkeypatch, tmp_path):
    put(tmp_path, official)
    monkeypatch.setenv("NIN_DATA", str(tmp_path))
    state = torch.random.get_rng_state()
    first, second = (load_data("fashion_mnist", validation=0.25) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(first.validation) == 15 and torch.equal(first.validation.images, second.validation.images)
    assert torch.equal(first.train.labels, second.train.labels)


def test_digits_are_those_of_scikit_learn_in_three_parts_and_stand_in(digits):
    from sklearn.datasets import load_digits

    parts, bunch = (digits.train, digits.validation, digits.test), load_digits()
    images = (bunch.images * 255 / 16).round().astype(np.uint8)
    expected = {(image.tobytes(), label) for image, label in zip(images, bunch.target)}
    assert sum(map(len, parts)) == len(expected) == 1797  # so that no image is in two parts
    assert set.union(*map(as_set, parts)) == expected
    assert all(set(part.labels.tolist()) == set(range(10)) for part in parts)
    assert digits.is_stand_in and "stand-in" in digits.title and digits.classes == tuple("0123456789")
    assert torch.equal(load_data("digits").validation.images, digits.validation.images)


REAL = Path(os.environ.get("NIN_DATA", "")) / "FashionMNIST" / "raw"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real data: NIN_DATA names no folder that has it")
def test_fashion_mnist_has_its_counts_classes_and_normalisation():
    fashion_mnist = load_data("fashion_mnist", download=False)
    assert str(fashion_mnist) == "Fashion-MNIST: 55,000 train, 5,000 validation, 10,000 test images of 1 × 28 × 28"
    assert list(fashion_mnist.classes) == [name.lower().split("/")[0] for name in FashionMNIST.classes]
    assert fashion_mnist.test.labels.bincount().tolist() == [1000] * 10
    images = torch.cat([fashion_mnist.train.images, fashion_mnist.validation.images]).float() / 255
    assert images.mean().item() == pytest.approx(0.286, abs=5e-4)
    assert images.std().item() == pytest.approx(0.353, abs=5e-4)


@pytest.mark.skipif(not all((REAL / name).exists() for name in ARCHIVES), reason="needs the official archives")
def test_our_checksums_are_of_the_archives_whose_md5_sums_torchvision_lists():
    for name, md5 in FashionMNIST.resources:
        content = (REAL / name).read_bytes()
        assert hashlib.md5(content).hexdigest() == md5
        assert REAL_FILES[name.removesuffix(".gz")] == (sha256(gzip.decompress(content)), sha256(content))
