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
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pooch
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


@pytest.mark.parametrize(
    "unpacked", [(), NAMES, (TRAIN_IMAGES, TEST_LABELS)], ids=["archives", "unpacked", "some of each"]
)
def test_data_that_is_there_is_loaded_and_nothing_is_written(official, tmp_path, unpacked):
    raw = put(tmp_path, official, unpacked)
    (raw / "notes.txt").write_text("mine")
    for name in unpacked:  # an unpacked file comes first
        (raw / f"{name}.gz").write_bytes(b"never looked at")
    before = snapshot(tmp_path)
    assert_is_official(load_data("auto", str(tmp_path)), official)
    assert snapshot(tmp_path) == before


@contextlib.contextmanager
def unprivileged():
    """Act as a user who owns nothing, since root may write anywhere; where a user runs the tests, as that user."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_read(official):
    with tempfile.TemporaryDirectory(dir="/tmp") as root:  # outside pytest's own, which root closes to others
        raw = put(Path(root), official)
        for folder in (raw, raw.parent, Path(root)):
            folder.chmod(0o555)
        with unprivileged():
            with pytest.raises(PermissionError):
                (raw / "probe").touch()
            assert_is_official(load_data("fashion_mnist", root), official)
        for folder in (raw, raw.parent, Path(root)):
            folder.chmod(0o755)


# ---- folders that cannot be used: digits would hide it


def test_a_file_in_the_place_of_the_folder_is_one_clear_message(official, tmp_path):
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DataError, match=r"^the data folder .*cannot be written \(Not a directory\).*NIN_DATA$"):
        load_data("auto", tmp_path / "data")
    assert (tmp_path / "data").read_text() == "not a folder"


@pytest.mark.parametrize("mode", [0o555, 0], ids=["written", "entered"])
def test_a_folder_that_cannot_be_so_used_is_one_clear_message(official, mode):
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        os.chmod(root, mode)
        with (
            unprivileged(),
            pytest.raises(DataError, match=r"^the data folder .*cannot be written \(Permission denied\).*root=…"),
        ):
            load_data("auto", root)
        assert os.path.exists(root)


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
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_the_rest_stays(official, tmp_path, damage, unpacked):
    raw = put(tmp_path, official, unpacked)
    path = raw / (TEST_IMAGES if unpacked else f"{TEST_IMAGES}.gz")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = snapshot(tmp_path)
    with pytest.raises(DataError, match=rf"^{path} is damaged .*delete it") as caught:
        load_data("auto", tmp_path)
    assert not isinstance(caught.value, NoNetworkError) and snapshot(tmp_path) == before


class Mirror:
    """A web server with the archives of `content`; `change` makes its answer of a good one's body.

    An answer is the status, the body and the length that is announced.
    """

    def __init__(self, content, change=lambda body: (200, body, len(body))):
        self.files = {f"{name}.gz": archive(plain) for name, plain in content.items()}
        self.change, self.asked = change, []

    @contextlib.contextmanager
    def serving(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                name = handler.path[1:]
                self.asked.append(name)
                status, body, length = self.change(self.files[name]) if name in self.files else (404, b"", 0)
                handler.send_response(status)
                handler.send_header("Content-Length", str(length))
                handler.end_headers()
                with contextlib.suppress(OSError):  # whoever asked may have given up
                    handler.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


@pytest.fixture
def mirrors(official, monkeypatch):
    """Return a function that makes mirrors the ones that are asked, in order, and returns their addresses."""
    with contextlib.ExitStack() as stack:

        def use(*mirrors):
            addresses = tuple(stack.enter_context(mirror.serving()) for mirror in mirrors)
            monkeypatch.setattr(datasets, "MIRRORS", addresses)
            return addresses

        yield use


def assert_downloaded(root, official):
    """The four archives lie in place, with nothing beside them."""
    raw = root / "FashionMNIST" / "raw"
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == Mirror(official).files


def test_what_is_missing_is_downloaded_and_kept(official, mirrors, tmp_path):
    mirror = Mirror(official)
    mirrors(mirror)
    before = snapshot(put(tmp_path, {TRAIN_IMAGES: official[TRAIN_IMAGES], TEST_IMAGES: official[TEST_IMAGES]}))
    for _ in range(2):  # the second time all is there
        assert_is_official(load_data("auto", tmp_path), official)
    assert mirror.asked == [f"{TRAIN_LABELS}.gz", f"{TEST_LABELS}.gz"]
    assert before.items() <= snapshot(tmp_path / "FashionMNIST" / "raw").items()
    assert_downloaded(tmp_path, official)


FAILURES = {
    "500": lambda body: (500, b"out of order", 12),
    "sends another file": lambda body: (200, archive(b"another file"), len(archive(b"another file"))),
    "sends a page of a captive portal": lambda body: (200, b"<html>please log in</html>", 26),
    "breaks off": lambda body: (200, body[:99], len(body)),
    "is truncated": lambda body: (200, body[:99], 99),
    "hangs": lambda body: time.sleep(0.5) or (200, body, len(body)),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_mirror_that_fails_leaves_nothing_and_the_next_one_helps(official, mirrors, monkeypatch, tmp_path, how):
    monkeypatch.setattr(datasets, "TIMEOUT", (5, 0.2))
    (address,) = mirrors(Mirror(official, FAILURES[how]))
    with pytest.raises(NoNetworkError, match=rf"^no mirror gave {TRAIN_IMAGES}.gz \({address}: .*root=…"):
        load_data("fashion_mnist", tmp_path / "mistyped" / "data")
    assert list(tmp_path.iterdir()) == []
    mirrors(Mirror(official, FAILURES[how]), Mirror(official))
    assert_is_official(load_data("fashion_mnist", tmp_path / "new" / "data"), official)
    assert_downloaded(tmp_path / "new" / "data", official)


def test_a_download_that_is_stopped_leaves_nothing(official, monkeypatch, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(requests, "get", stop)
    with pytest.raises(KeyboardInterrupt):
        load_data("auto", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_what_came_before_a_failure_is_kept(official, mirrors, tmp_path):
    mirrors(Mirror({name: official[name] for name in NAMES[:2]}))
    with pytest.raises(NoNetworkError, match=rf"^no mirror gave {TEST_IMAGES}.gz .*404"):
        load_data("fashion_mnist", tmp_path / "data")
    mirror = Mirror(official)
    mirrors(mirror)
    load_data("fashion_mnist", tmp_path / "data")
    assert mirror.asked == ARCHIVES[2:]


def test_a_mirror_that_answers_is_asked_again(official, mirrors, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "RETRIES", 1)
    changes = itertools.cycle((FAILURES["500"], Mirror({}).change))
    mirror = Mirror(official, lambda body: next(changes)(body))
    mirrors(mirror)
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


def test_a_download_can_be_forbidden(official, mirrors, tmp_path):
    mirror = Mirror(official)
    mirrors(mirror)
    with pytest.raises(NoNetworkError, match="download=False") as caught:
        load_data("fashion_mnist", tmp_path / "data", download=False)
    assert mirror.asked == [] and list(tmp_path.iterdir()) == []
    for advice in (f"{tmp_path}/data/FashionMNIST/raw", "root=…", "NIN_DATA", 'name="digits"'):
        assert advice in str(caught.value)


def test_no_space_for_a_download_is_one_clear_message_and_the_good_data_stays(official, mirrors, monkeypatch, tmp_path):
    raw = put(tmp_path, {TRAIN_IMAGES: official[TRAIN_IMAGES]})
    before = snapshot(raw)
    mirrors(Mirror(official))

    class FullDisk(io.FileIO):
        def write(self, content):
            super().write(content[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pooch.downloaders.open", FullDisk, raising=False)
    message = f"{raw}/{TRAIN_LABELS}.gz cannot be written: No space left on device"
    with pytest.raises(DataError, match=f"^{re.escape(message)}") as caught:
        load_data("auto", tmp_path)
    assert not isinstance(caught.value, NoNetworkError)  # digits would hide that the disk is full
    assert snapshot(raw) == before


def test_root_comes_before_nin_data_before_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NIN_DATA", "/from/environment")
    assert data_folder("~/data") == tmp_path / "data"
    assert data_folder() == Path("/from/environment")
    monkeypatch.setenv("NIN_DATA", "")
    assert data_folder() == pooch.os_cache("nin_helpers")
    if sys.platform == "linux":
        assert data_folder() == tmp_path / "cache" / "nin_helpers"


@pytest.mark.parametrize("options", [{"name": "mnist"}, {"validation": 0}, {"validation": 1}, {"validation": "0.1"}])
def test_a_bad_argument_is_named(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=rf"^{name}={value!r} must be "):
        load_data(**{"name": "digits", **options})


def test_the_held_out_images_are_always_the_same(official, monkeypatch, tmp_path):
    put(tmp_path, official)
    monkeypatch.setenv("NIN_DATA", str(tmp_path))
    before = torch.random.get_rng_state()
    first = load_data("fashion_mnist", validation=0.25)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    second = load_data("fashion_mnist", validation=0.25)
    assert len(first.validation) == 15 and torch.equal(first.validation.images, second.validation.images)
    assert torch.equal(first.train.labels, second.train.labels)


def test_digits_are_those_of_scikit_learn_in_three_parts_and_stand_in(digits):
    from sklearn.datasets import load_digits

    parts, bunch = (digits.train, digits.validation, digits.test), load_digits()
    expected = {
        ((image * 255 / 16).round().astype(np.uint8)[None].tobytes(), label)
        for image, label in zip(bunch.images, bunch.target)
    }
    assert sum(map(len, parts)) == len(expected) == 1797  # so that no image is in two parts
    assert set.union(*map(as_set, parts)) == expected
    assert all(set(part.labels.tolist()) == set(range(10)) for part in parts)
    assert digits.is_stand_in and "stand-in" in digits.title and digits.classes == tuple("0123456789")
    assert torch.equal(load_data("digits").validation.images, digits.validation.images)


@pytest.fixture(scope="module")
def fashion_mnist():
    root = os.environ.get("NIN_DATA")
    if not root or not (Path(root) / "FashionMNIST" / "raw").is_dir():
        pytest.skip("needs the real data: NIN_DATA names no folder that holds FashionMNIST/raw")
    return load_data("fashion_mnist", root, download=False)


def test_fashion_mnist_has_its_counts_classes_and_normalisation(fashion_mnist):
    assert str(fashion_mnist) == "Fashion-MNIST: 55,000 train, 5,000 validation, 10,000 test images of 1 × 28 × 28"
    assert list(fashion_mnist.classes) == [name.lower().split("/")[0] for name in FashionMNIST.classes]
    assert fashion_mnist.test.labels.bincount().tolist() == [1000] * 10
    images = torch.cat([fashion_mnist.train.images, fashion_mnist.validation.images]).float() / 255
    assert images.mean().item() == pytest.approx(0.286, abs=5e-4)
    assert images.std().item() == pytest.approx(0.353, abs=5e-4)


def test_our_checksums_are_of_the_archives_whose_md5_sums_torchvision_lists(fashion_mnist):
    raw = Path(os.environ["NIN_DATA"]) / "FashionMNIST" / "raw"
    if not all((raw / name).exists() for name in ARCHIVES):
        pytest.skip("needs the official archives: NIN_DATA has the data unpacked")
    for name, md5 in FashionMNIST.resources:
        content = (raw / name).read_bytes()
        assert hashlib.md5(content).hexdigest() == md5
        assert REAL_FILES[name.removesuffix(".gz")] == (sha256(gzip.decompress(content)), sha256(content))
