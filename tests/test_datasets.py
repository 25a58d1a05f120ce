"""Finding, verifying, downloading and preparing the data.

The mechanics are tested on small IDX files with checksums of their own, against mirrors on this machine; the official
files where NIN_DATA has them.
"""

import contextlib
import errno
import gzip
import hashlib
import http.server
import io
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
import torch.nn.functional as F
from PIL import Image
from torchvision.datasets import FashionMNIST

from nin_helpers import datasets
from nin_helpers.datasets import DataError, ImageData, LabelledImages, NoNetworkError, data_folder, load_data
from nin_helpers.preprocessing import preprocess, random_flip, read_drawing, read_picture

REAL_FILES, REAL_MIRRORS = datasets.FILES, datasets.MIRRORS  # before the fixtures replace them
NAMES = tuple(REAL_FILES)
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES


# ---- small official files, and folders that hold them


def idx(array):
    """Return `array` (uint8) in the IDX format: two zeros, type 8, the number of axes, their sizes, the values."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def official(monkeypatch, tmp_path):
    """Make four small files the official ones, and return {name: content}; temporary files go to tmp_path/"tmp"."""
    random = np.random.default_rng(0)
    content = {
        TRAIN_IMAGES: idx(random.integers(0, 256, (60, 28, 28))),
        TRAIN_LABELS: idx(np.arange(60) % 10),
        TEST_IMAGES: idx(random.integers(0, 256, (20, 28, 28))),
        TEST_LABELS: idx(np.arange(20) % 10),
    }
    sums = {name: (sha256(plain), sha256(archive(plain))) for name, plain in content.items()}
    monkeypatch.setattr(datasets, "FILES", sums)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
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
        if name in unpacked:
            (raw / name).write_bytes(plain)
        else:
            (raw / f"{name}.gz").write_bytes(archive(plain))
    return raw


def snapshot(folder):
    """Return all that a test can see change: paths, contents and times of writing."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def assert_is_official(data, content):
    """Compare with the bytes behind the IDX headers: 16 before images, 8 before labels."""
    assert (data.name, data.is_stand_in) == ("fashion_mnist", False)
    assert data.test.images.numpy().tobytes() == content[TEST_IMAGES][16:]
    assert bytes(data.test.labels.tolist()) == content[TEST_LABELS][8:]
    images = torch.cat([data.train.images, data.validation.images]).flatten(1)
    assert sorted(map(bytes, images.numpy())) == sorted(
        content[TRAIN_IMAGES][16 + start : 16 + start + 784] for start in range(0, 60 * 784, 784)
    )


# ---- data that is there


@pytest.mark.parametrize(
    "unpacked", [(), NAMES, (TRAIN_IMAGES, TEST_LABELS)], ids=["archives", "unpacked", "some of each"]
)
@pytest.mark.parametrize("name", ["auto", "fashion_mnist"])
def test_data_that_is_there_is_loaded_and_nothing_is_written(official, tmp_path, name, unpacked):
    put(tmp_path / "data", official, unpacked)
    before = snapshot(tmp_path)
    assert_is_official(load_data(name, tmp_path / "data"), official)
    after = snapshot(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in after if path.parts[0] == "data")


def test_unpacked_files_come_before_archives(official, tmp_path):
    raw = put(tmp_path, official, unpacked=NAMES)
    for name in NAMES:
        (raw / f"{name}.gz").write_bytes(b"never looked at")
    assert_is_official(load_data("fashion_mnist", tmp_path), official)


def test_other_files_in_the_folder_do_not_matter(official, tmp_path):
    raw = put(tmp_path, official)
    (raw / "notes.txt").write_text("mine")
    assert_is_official(load_data("fashion_mnist", str(tmp_path)), official)


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


@pytest.fixture
def locked(official, monkeypatch):
    """A folder with the data that may be read and not written; outside pytest's own, which root closes to others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as root, tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        raw = put(Path(root), official)
        os.chmod(temporary, 0o777)
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        folders = (raw, raw.parent, Path(root))
        for folder in folders:
            folder.chmod(0o555)
        with unprivileged():
            yield Path(root)
        for folder in folders:
            folder.chmod(0o755)


def test_a_folder_that_cannot_be_written_is_read(locked, official):
    with pytest.raises(PermissionError):
        (locked / "probe").touch()
    assert_is_official(load_data("fashion_mnist", locked), official)


# ---- folders that cannot be used


@pytest.mark.parametrize("name", ["auto", "fashion_mnist"])
def test_a_file_in_the_place_of_the_folder_is_one_clear_message(official, tmp_path, name):
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DataError, match=r"^the data folder .*cannot be written \(Not a directory\).*NIN_DATA$"):
        load_data(name, tmp_path / "data")
    assert (tmp_path / "data").read_text() == "not a folder"


def test_an_empty_folder_that_cannot_be_written_is_one_clear_message(locked):
    with pytest.raises(DataError, match=r"^the data folder .*cannot be written \(Permission denied\).*root=…"):
        load_data("fashion_mnist", locked / "elsewhere")


def test_a_folder_that_cannot_be_entered_is_one_clear_message(locked, official):
    with tempfile.TemporaryDirectory(dir=tempfile.tempdir) as root:
        put(Path(root), official)
        os.chmod(root, 0)
        with pytest.raises(DataError, match=r"^the data folder .*\(Permission denied\)"):
            load_data("auto", root)
        os.chmod(root, 0o700)


def test_no_space_for_the_folder_is_one_clear_message(official, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", raise_disk_full)
    with pytest.raises(DataError, match=r"^the data folder .*No space left on device"):
        load_data("fashion_mnist", tmp_path / "data")


def raise_disk_full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# ---- data that is damaged


def truncated(content):
    return content[: len(content) // 2]


def zeroed(content):
    return bytes(len(content))


def flipped(content):
    """One bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def foreign(content):
    """A sound archive of something else."""
    return archive(b"another file")


def empty(content):
    return b""


@pytest.mark.parametrize("name", ["auto", "fashion_mnist"])
@pytest.mark.parametrize("damage", [truncated, zeroed, flipped, foreign, empty])
@pytest.mark.parametrize("damaged", [TRAIN_IMAGES, TEST_LABELS])
def test_a_damaged_archive_is_named_and_the_rest_stays(official, tmp_path, damaged, damage, name):
    raw = put(tmp_path / "data", official)
    path = raw / f"{damaged}.gz"
    path.write_bytes(damage(path.read_bytes()))
    before = snapshot(tmp_path / "data")
    with pytest.raises(DataError) as caught:
        load_data(name, tmp_path / "data")
    assert not isinstance(caught.value, NoNetworkError)
    assert str(caught.value).startswith(f"{path} is damaged") and "delete it" in str(caught.value)
    assert snapshot(tmp_path / "data") == before and not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("damage", [truncated, zeroed, flipped, empty])
@pytest.mark.parametrize("damaged", NAMES)
def test_a_damaged_unpacked_file_is_named_and_the_rest_stays(official, tmp_path, damaged, damage):
    raw = put(tmp_path / "data", official, unpacked=NAMES)
    (raw / damaged).write_bytes(damage(official[damaged]))
    before = snapshot(tmp_path / "data")
    with pytest.raises(DataError) as caught:
        load_data("auto", tmp_path / "data")
    assert str(caught.value).startswith(f"{raw / damaged} is damaged or is another file")
    assert snapshot(tmp_path / "data") == before and not list((tmp_path / "tmp").iterdir())


def test_a_folder_in_the_place_of_a_file_is_one_clear_message(official, tmp_path):
    raw = put(tmp_path, official)
    (raw / TEST_LABELS).mkdir()
    with pytest.raises(DataError, match=rf"^{raw / TEST_LABELS} cannot be read: Is a directory$"):
        load_data("fashion_mnist", tmp_path)


def test_no_space_to_unpack_is_one_clear_message_and_the_data_stays(official, tmp_path, monkeypatch):
    put(tmp_path / "data", official)
    before = snapshot(tmp_path / "data")
    write_bytes = Path.write_bytes

    def write_some(path, content):
        write_bytes(path, content[:10])
        raise_disk_full()

    monkeypatch.setattr(Path, "write_bytes", write_some)
    with pytest.raises(DataError, match=r"cannot be written: No space left on device.*TMPDIR"):
        load_data("auto", tmp_path / "data")
    assert snapshot(tmp_path / "data") == before and not list((tmp_path / "tmp").iterdir())


def test_no_temporary_folder_is_one_clear_message(official, tmp_path, monkeypatch):
    put(tmp_path / "data", official)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(DataError, match=r"^no temporary folder.*No such file or directory.*TMPDIR"):
        load_data("fashion_mnist", tmp_path / "data")


# ---- downloads, from mirrors on this machine


class Mirror:
    """A web server: `answers` maps a file's name to (status, body, announced length), or to a list of these in turn."""

    def __init__(self, content):
        self.answers = {f"{name}.gz": (200, archive(plain), None) for name, plain in content.items()}
        self.asked = []
        self.delay = 0

    @contextlib.contextmanager
    def serving(self):
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.answer(self)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, request):
        name = request.path.rsplit("/", 1)[1]
        self.asked.append(name)
        time.sleep(self.delay)
        answer = self.answers.get(name, (404, b"not found", None))
        status, body, length = answer.pop(0) if isinstance(answer, list) else answer
        request.send_response(status)
        request.send_header("Content-Length", str(length or len(body)))
        request.end_headers()
        with contextlib.suppress(OSError):  # whoever asked may have given up
            request.wfile.write(body)


@pytest.fixture
def mirrors(official, monkeypatch):
    """Return a function that makes mirrors the ones that are asked, in order: a Mirror, or the address of none."""
    with contextlib.ExitStack() as stack:

        def use(*mirrors):
            addresses = [m if isinstance(m, str) else stack.enter_context(m.serving()) for m in mirrors]
            monkeypatch.setattr(datasets, "MIRRORS", tuple(addresses))
            return addresses

        yield use


def assert_downloaded(root, official):
    """The four archives lie in place, with nothing beside them."""
    raw = root / "FashionMNIST" / "raw"
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == {
        f"{name}.gz": archive(plain) for name, plain in official.items()
    }


ARCHIVES = [f"{name}.gz" for name in NAMES]


@pytest.mark.parametrize("name", ["auto", "fashion_mnist"])
def test_what_is_missing_is_downloaded_and_kept(official, mirrors, tmp_path, name):
    mirror = Mirror(official)
    mirrors(mirror)
    assert_is_official(load_data(name, tmp_path / "new" / "data"), official)
    assert_downloaded(tmp_path / "new" / "data", official)
    load_data(name, tmp_path / "new" / "data")
    assert mirror.asked == ARCHIVES  # each once: the second call found them


def test_only_what_is_missing_is_downloaded(official, mirrors, tmp_path):
    mirror = Mirror(official)
    mirrors(mirror)
    raw = put(tmp_path, {TRAIN_IMAGES: official[TRAIN_IMAGES], TEST_IMAGES: official[TEST_IMAGES]}, [TRAIN_IMAGES])
    before = snapshot(raw)
    assert_is_official(load_data("fashion_mnist", tmp_path), official)
    assert mirror.asked == [f"{TRAIN_LABELS}.gz", f"{TEST_LABELS}.gz"]
    assert before.items() <= snapshot(raw).items()


def broken_mirror(official, how):
    """Return a mirror, or an address, that fails in the way called `how`."""
    if how == "refuses":
        return "http://127.0.0.1:9"
    mirror = Mirror(official)
    for name, (status, body, _) in mirror.answers.items():
        mirror.answers[name] = {
            "404": (404, b"not found", None),
            "500": (500, b"out of order", None),
            "sends another file": (status, archive(b"another file"), None),
            "sends a page of a captive portal": (status, b"<html>please log in</html>", None),
            "breaks off": (status, truncated(body), len(body)),
            "is truncated": (status, truncated(body), None),
            "hangs": (status, body, None),
        }[how]
    mirror.delay = 1.0 if how == "hangs" else 0
    return mirror


FAILURES = [
    "refuses",
    "404",
    "500",
    "sends another file",
    "sends a page of a captive portal",
    "breaks off",
    "is truncated",
    "hangs",
]


@pytest.mark.parametrize("how", FAILURES)
def test_the_next_mirror_helps_where_the_first(official, mirrors, monkeypatch, tmp_path, how):
    if how == "hangs":
        monkeypatch.setattr(datasets, "TIMEOUT", (5, 0.2))
        put(tmp_path, {name: official[name] for name in NAMES[1:]})  # one file is enough to wait for
    mirrors(broken_mirror(official, how), Mirror(official))
    assert_is_official(load_data("fashion_mnist", tmp_path), official)
    assert_downloaded(tmp_path, official)


@pytest.mark.parametrize("how", [how for how in FAILURES if how != "hangs"])
def test_without_a_good_mirror_the_file_is_named_and_nothing_is_left(official, mirrors, tmp_path, how):
    (address,) = mirrors(broken_mirror(official, how))
    with pytest.raises(NoNetworkError) as caught:
        load_data("fashion_mnist", tmp_path)
    assert str(caught.value).startswith(f"no mirror gave {TRAIN_IMAGES}.gz ({address}: ")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_came_before_a_failure_is_kept(official, mirrors, tmp_path):
    mirror = Mirror(official)
    good = mirror.answers.pop(f"{TEST_IMAGES}.gz")
    mirrors(mirror)
    with pytest.raises(NoNetworkError, match=rf"^no mirror gave {TEST_IMAGES}.gz"):
        load_data("fashion_mnist", tmp_path)
    mirror.answers[f"{TEST_IMAGES}.gz"] = good
    mirror.asked.clear()
    load_data("fashion_mnist", tmp_path)
    assert mirror.asked == [f"{TEST_IMAGES}.gz", f"{TEST_LABELS}.gz"]
    assert_downloaded(tmp_path, official)


@pytest.mark.parametrize("how", ["500", "sends another file", "breaks off"])
def test_a_mirror_is_asked_again(official, mirrors, monkeypatch, tmp_path, how):
    monkeypatch.setattr(datasets, "RETRIES", 1)
    mirror, bad = Mirror(official), broken_mirror(official, how)
    mirror.answers = {name: [bad.answers[name], good] for name, good in mirror.answers.items()}
    mirrors(mirror)
    assert_is_official(load_data("fashion_mnist", tmp_path), official)
    assert mirror.asked == sorted(ARCHIVES * 2, key=ARCHIVES.index)
    assert_downloaded(tmp_path, official)


def test_a_mirror_that_is_not_reached_is_not_asked_again(official, mirrors, monkeypatch, tmp_path):
    """Without a network each question takes as long as the time-out; a mirror that answers may do better later."""
    monkeypatch.setattr(datasets, "RETRIES", 2)
    addresses, asked, get = mirrors("http://127.0.0.1:9", broken_mirror(official, "500")), [], requests.get
    monkeypatch.setattr(requests, "get", lambda url, **options: asked.append(url) or get(url, **options))
    with pytest.raises(NoNetworkError):
        load_data("fashion_mnist", tmp_path)
    assert asked == [f"{address}/{TRAIN_IMAGES}.gz" for address in (addresses[0], *addresses[1:] * 3)]


def test_without_data_and_network_auto_takes_the_digits_and_says_so(official, mirrors, tmp_path, digits):
    mirrors("http://127.0.0.1:9", broken_mirror(official, "404"))
    with pytest.warns(UserWarning, match=r"STAND-IN.*digits, not on Fashion-MNIST.*not reached.*404") as caught:
        data = load_data("auto", tmp_path)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert data.is_stand_in and torch.equal(data.test.images, digits.test.images)


def test_without_data_and_network_fashion_mnist_fails_and_says_what_to_do(official, mirrors, tmp_path):
    mirrors("http://127.0.0.1:9")
    with pytest.raises(DataError) as caught:
        load_data("fashion_mnist", tmp_path)
    for advice in (f"{tmp_path}/FashionMNIST/raw", "root=…", "NIN_DATA", 'name="digits"'):
        assert advice in str(caught.value)


def test_download_can_be_forbidden(official, mirrors, tmp_path):
    mirror = Mirror(official)
    mirrors(mirror)
    with pytest.raises(NoNetworkError, match="download=False"):
        load_data("fashion_mnist", tmp_path / "data", download=False)
    assert mirror.asked == [] and not (tmp_path / "data").exists()


def test_no_space_for_a_download_is_one_clear_message_and_the_good_data_stays(official, mirrors, monkeypatch, tmp_path):
    raw = put(tmp_path, {TRAIN_IMAGES: official[TRAIN_IMAGES]})
    before = snapshot(raw)
    mirrors(Mirror(official), Mirror(official))

    class FullDisk(io.FileIO):
        def write(self, content):
            super().write(content[:10])
            raise_disk_full()

    monkeypatch.setattr("pooch.downloaders.open", FullDisk, raising=False)
    with pytest.raises(DataError) as caught:
        load_data("auto", tmp_path)
    assert str(caught.value).startswith(f"{raw}/{TRAIN_LABELS}.gz cannot be written: No space left on device")
    assert not isinstance(caught.value, NoNetworkError)  # digits would hide that the disk is full
    assert snapshot(raw) == before


def test_the_real_mirrors_are_several_and_https():
    assert len(REAL_MIRRORS) >= 2 and all(address.startswith("https://") for address in REAL_MIRRORS)


# ---- where the folder is


def test_root_comes_before_nin_data_before_the_cache(monkeypatch, tmp_path):
    import platformdirs

    monkeypatch.setenv("NIN_DATA", "/from/environment")
    assert data_folder(tmp_path) == tmp_path
    assert data_folder() == Path("/from/environment")
    for nothing in ("", None):
        monkeypatch.setenv("NIN_DATA", nothing) if nothing is not None else monkeypatch.delenv("NIN_DATA")
        assert data_folder() == Path(platformdirs.user_cache_dir("nin_helpers"))


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder("~/data") == tmp_path / "data"


def test_load_data_reads_the_folder_of_nin_data(official, monkeypatch, tmp_path):
    put(tmp_path, official)
    monkeypatch.setenv("NIN_DATA", str(tmp_path))
    assert_is_official(load_data("fashion_mnist", download=False), official)


# ---- bad arguments


@pytest.mark.parametrize("bad", ["mnist", "", None, 3])
def test_an_unknown_name_is_refused(bad):
    with pytest.raises(ValueError, match=rf'^name={bad!r} must be "auto", "fashion_mnist" or "digits"'):
        load_data(bad)


@pytest.mark.parametrize("bad", [0, 1, -0.1, 1.5, float("nan"), "0.1", None])
def test_a_share_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match=rf"^validation={bad!r} must be a share"):
        load_data("digits", validation=bad)


# ---- splits


def as_set(split):
    return {(image.tobytes(), label) for image, label in zip(split.images.numpy(), split.labels.tolist())}


@pytest.mark.parametrize("validation", [1 / 12, 0.5])
def test_the_held_out_images_are_of_the_training_set_and_always_the_same(official, tmp_path, validation):
    put(tmp_path, official)
    first, second = (load_data("fashion_mnist", tmp_path, validation=validation) for _ in range(2))
    assert len(first.validation) == 60 * validation
    assert torch.equal(first.validation.images, second.validation.images)
    assert torch.equal(first.train.labels, second.train.labels)
    assert not as_set(first.train) & as_set(first.validation)
    assert len(as_set(first.train) | as_set(first.validation)) == 60


def test_images_keep_their_labels(official, tmp_path):
    """Image i of the training file has the label i mod 10."""
    put(tmp_path, official)
    data = load_data("fashion_mnist", tmp_path)
    pixels = official[TRAIN_IMAGES][16:]
    for split in (data.train, data.validation):
        for image, label in zip(split.images.numpy(), split.labels.tolist()):
            assert pixels.index(image.tobytes()) // 784 % 10 == label


def test_the_held_out_images_do_not_depend_on_the_random_state(official, tmp_path):
    put(tmp_path, official)
    labels = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        labels.append(load_data("fashion_mnist", tmp_path).train.labels)
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(*labels)


def test_digits_are_those_of_scikit_learn_in_three_parts(digits):
    from sklearn.datasets import load_digits

    splits = (digits.train, digits.validation, digits.test)
    assert sum(map(len, splits)) == 1797
    assert len(set.union(*map(as_set, splits))) == 1797  # no image is in two parts
    bunch = load_digits()
    expected = {
        ((image * 255 / 16).round().astype(np.uint8)[None].tobytes(), label)
        for image, label in zip(bunch.images, bunch.target)
    }
    assert set.union(*map(as_set, splits)) == expected


def test_digits_say_that_they_stand_in(digits):
    assert digits.is_stand_in and "stand-in" in digits.title and "stand-in" in str(digits)
    assert digits.classes == tuple("0123456789")


def test_digits_are_the_same_each_time(digits):
    torch.manual_seed(1)
    again = load_data("digits")
    for split in ("train", "validation", "test"):
        one, other = getattr(digits, split), getattr(again, split)
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_each_part_of_the_digits_has_all_classes(digits):
    for split in (digits.train, digits.validation, digits.test):
        assert split.images.dtype == torch.uint8 and split.images.shape[1:] == (1, 8, 8)
        assert split.labels.dtype == torch.int64 and set(split.labels.tolist()) == set(range(10))


def test_a_data_set_prints_its_title_and_counts(digits):
    text = (
        f"{len(digits.train):,} train, {len(digits.validation)} validation, {len(digits.test)} test images of 1 × 8 × 8"
    )
    assert str(digits) == f"{digits.title}: {text}"


def test_a_split_is_indexed_as_its_tensors_are():
    split = LabelledImages(torch.arange(12, dtype=torch.uint8).view(3, 1, 2, 2), torch.tensor([5, 6, 7]))
    part = split[torch.tensor([2, 0])]
    assert len(split) == 3 and len(split[:2]) == 2
    assert part.labels.tolist() == [7, 5] and part.images[0].flatten().tolist() == [8, 9, 10, 11]


def test_images_move_to_a_device_as_uint8(digits):
    moved = digits.to("meta")
    assert isinstance(moved, ImageData) and (moved.name, moved.title) == (digits.name, digits.title)
    for split in (moved.train, moved.validation, moved.test):
        assert split.images.device.type == split.labels.device.type == "meta"
        assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
    assert digits.train.images.device.type == "cpu"


# ---- prepare


@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (0.5, 0.5), (0.286, 0.353)])
@pytest.mark.parametrize("size", [5, 8, 67])
def test_prepare_is_resize_after_normalise(digits, size, mean, std):
    images = digits.test.images[:6]
    expected = F.interpolate(
        (images.float() / 255 - mean) / std, size=(size, size), mode="bilinear", align_corners=False
    )
    x = preprocess(images, size, mean, std)
    assert x.dtype == torch.float32 and x.shape == (6, 1, size, size)
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5)


def test_prepare_leaves_the_images_alone(digits):
    images = digits.test.images[:2].clone()
    preprocess(images, 8, 0.5, 0.5)
    assert torch.equal(images, digits.test.images[:2])


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 1, 8, 8),
        torch.zeros(2, 1, 8, 8, dtype=torch.int64),
        torch.zeros(2, 8, 8, dtype=torch.uint8),
        torch.zeros(8, 8, dtype=torch.uint8),
    ],
    ids=["float", "int64", "three axes", "two axes"],
)
def test_prepare_says_what_it_got_and_what_it_takes(images):
    with pytest.raises(ValueError) as caught:
        preprocess(images, 8, 0, 1)
    assert str(images.dtype) in str(caught.value) and str(tuple(images.shape)) in str(caught.value)
    assert "must be torch.uint8" in str(caught.value)


# ---- the official data, where it is


@pytest.fixture(scope="module")
def fashion_mnist():
    root = os.environ.get("NIN_DATA")
    if not root or not (Path(root) / "FashionMNIST" / "raw").is_dir():
        pytest.skip("needs the real data: NIN_DATA names no folder that holds FashionMNIST/raw")
    return load_data("fashion_mnist", root, download=False)


def test_fashion_mnist_has_its_counts(fashion_mnist):
    assert str(fashion_mnist) == "Fashion-MNIST: 55,000 train, 5,000 validation, 10,000 test images of 1 × 28 × 28"
    assert not fashion_mnist.is_stand_in and len(fashion_mnist.classes) == 10


def test_fashion_mnist_has_1000_test_images_of_each_class(fashion_mnist):
    assert fashion_mnist.test.labels.bincount().tolist() == [1000] * 10
    train = fashion_mnist.train.labels.bincount() + fashion_mnist.validation.labels.bincount()
    assert train.tolist() == [6000] * 10


def test_the_recipes_normalisation_is_that_of_fashion_mnist(fashion_mnist):
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


def test_the_classes_are_torchvisions(fashion_mnist):
    simple = [name.lower().split("/")[0] for name in FashionMNIST.classes]
    assert list(fashion_mnist.classes) == simple


# ---- mirrored images, and pieces


def test_half_of_the_images_are_mirrored_and_none_is_otherwise_changed(digits):
    images = digits.train.images[:500]
    flipped = random_flip(images)
    mirrored = [torch.equal(after, before.flip(2)) for after, before in zip(flipped, images)]
    same = [torch.equal(after, before) for after, before in zip(flipped, images)]
    assert all(one or other for one, other in zip(mirrored, same))
    assert 200 < sum(mirrored) < 300 and flipped.dtype == torch.uint8


def test_pieces_are_the_whole_in_order(digits):
    pieces = digits.train[:10].split(4)
    assert [len(piece) for piece in pieces] == [4, 4, 2]
    assert torch.equal(torch.cat([piece.images for piece in pieces]), digits.train.images[:10])
    assert torch.equal(torch.cat([piece.labels for piece in pieces]), digits.train.labels[:10])


# the reader's own pictures


def test_a_drawing_becomes_bytes_and_fills_the_square():
    picture = read_drawing("#+.\n #\n", size=6)
    assert picture.dtype == torch.uint8 and picture.shape == (1, 6, 6)
    expected = torch.tensor([[255, 128, 0], [0, 255, 0], [0, 0, 0]], dtype=torch.uint8)
    assert torch.equal(picture[0], expected.repeat_interleave(2, 0).repeat_interleave(2, 1))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "the drawing is empty"),
        ("  \n", "the drawing is empty"),
        ("#\n#o", "line 2 has 'o' at place 2"),
        ("#" * 29, "1 lines of up to 29 characters; 28 of each are the most"),
        ("#\n" * 29, "29 lines"),
    ],
)
def test_a_bad_drawing_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_drawing(text)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF"])
def test_a_file_becomes_a_grey_square(form):
    image = Image.new("RGB", (60, 30), "black")
    image.paste("white", (15, 0, 30, 30))  # the left half of the middle square
    buffer = io.BytesIO()
    image.save(buffer, form)
    picture = read_picture(buffer.getvalue())
    assert picture.dtype == torch.uint8 and picture.shape == (1, 28, 28)
    assert (picture[0, :, :13] > 240).all() and (picture[0, :, 15:] < 15).all()
    assert torch.equal(read_picture(buffer.getvalue(), invert=True), 255 - picture)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_picture_is_refused(content):
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        read_picture(content)
