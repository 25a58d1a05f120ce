"""From pictures to tensors: what a network takes is compared with torch, a reader's picture with what the eye sees."""

import io
import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms

from nin_helpers.preprocessing import preprocess, random_flip, read_drawing, read_picture

# ---- what the network takes


@pytest.mark.parametrize("size", [5, 8, 67])
def test_preprocessing_is_resize_after_normalise(digits, size):
    images = digits.test.images[:6].clone()
    expected = F.interpolate((images.float() / 255 - 0.286) / 0.353, (size, size), mode="bilinear", align_corners=False)
    x = preprocess(images, size, 0.286, 0.353)
    assert x.dtype == torch.float32 and x.shape == (6, 1, size, size)
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(images, digits.test.images[:6])


def test_each_channel_can_have_a_mean_and_a_std_of_its_own():
    images, mean, std = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8), (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    x = preprocess(images, 8, mean, std)
    for channel in range(3):
        expected = preprocess(images[:, [channel]], 8, mean[channel], std[channel])
        torch.testing.assert_close(x[:, [channel]], expected)
    torch.testing.assert_close(preprocess(images, 8, (0.5,) * 3, 0.25), preprocess(images, 8, 0.5, 0.25))


@pytest.mark.parametrize(
    "shape, dtype, message",
    [
        ((2, 1, 8, 8), torch.float32, r"torch.float32 of shape \(2, 1, 8, 8\), but must be torch.uint8"),
        ((2, 8, 8), torch.uint8, r"torch.uint8 of shape \(2, 8, 8\), but must be torch.uint8"),
        ((2, 1, 8, 8), torch.uint8, r"^mean=0 and std=\(1, 1, 1\) must .* the images have 1$"),
    ],
)
def test_preprocessing_says_what_it_got_and_what_it_takes(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        preprocess(torch.zeros(shape, dtype=dtype), 8, 0, (1, 1, 1))


def test_half_of_the_images_are_mirrored_and_none_is_otherwise_changed(digits):
    images = digits.train.images[:500]
    flipped = random_flip(images)
    mirrored = (flipped == images.flip(3)).flatten(1).all(dim=1)
    assert (mirrored | (flipped == images).flatten(1).all(dim=1)).all()
    assert 200 < mirrored.sum() < 300 and flipped.dtype == torch.uint8


def test_a_drawing_becomes_bytes_and_fills_the_square():
    picture = read_drawing("#+.\n #\n", size=6)
    assert picture.dtype == torch.uint8 and picture.shape == (1, 6, 6)
    expected = torch.tensor([[255, 128, 0], [0, 255, 0], [0, 0, 0]], dtype=torch.uint8)
    assert torch.equal(picture[0], expected.repeat_interleave(2, 0).repeat_interleave(2, 1))


@pytest.mark.parametrize(
    "text, message",
    [
        ("  \n", "the drawing is empty"),
        ("#\n#o", "line 2 has 'o' at place 2"),
        ("#" * 29, "1 lines of up to 29 characters; 28 of each are the most"),
        ("#\n" * 29, "29 lines"),
    ],
)
def test_a_bad_drawing_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_drawing(text)


# ---- files, each made here, in which the eye sees the left half dark and the right half light

DARK, LIGHT = 40, 200


def halves(left, right, dtype=np.uint8):
    """Return levels (28, 28) with so much in the left half and in the right one."""
    return np.repeat(np.array([left, right], dtype), 14)[None].repeat(28, 0)


def saved(image, form, **options):
    """Return the bytes of a file: of a Pillow image, or of an array that becomes one."""
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, form, **options)
    return buffer.getvalue()


GREY = Image.fromarray(halves(DARK, LIGHT))
TO_LAB = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
SEEN_THE_SAME = {
    "grey": saved(GREY, "PNG"),
    "colour": saved(GREY.convert("RGB"), "JPEG", quality=95),
    "palette": saved(GREY.quantize(), "GIF"),
    "animation": saved(GREY, "GIF", save_all=True, append_images=[Image.new("L", (28, 28), 90)]),
    "CMYK": saved(GREY.convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "YCbCr": saved(GREY.convert("RGB").convert("YCbCr"), "TIFF"),
    "LAB": saved(ImageCms.applyTransform(GREY.convert("RGB"), TO_LAB), "TIFF"),
    "opaque": saved(GREY.convert("RGBA"), "WEBP", lossless=True),
    "16 bits": saved(halves(DARK * 257, LIGHT * 257, np.uint16), "PNG"),
    "16 bits of PGM": saved(halves(DARK * 257, LIGHT * 257, np.int32), "PPM"),
    "16 bits, white is 0": saved(halves((255 - DARK) * 257, (255 - LIGHT) * 257, np.uint16), "TIFF", tiffinfo={262: 0}),
    "32 bits to 255": saved(halves(DARK, LIGHT, np.int32), "TIFF"),
    "32 bits to 65,535": saved(halves(DARK * 257, LIGHT * 257, np.int32), "TIFF"),
    "floats to 1": saved(halves(DARK / 255, LIGHT / 255, np.float32), "TIFF"),
    "long": saved(GREY.resize((28, 28)).crop((0, -20_000, 28, 20_028)), "PNG"),
}


@pytest.mark.parametrize("content", SEEN_THE_SAME.values(), ids=SEEN_THE_SAME)
def test_a_picture_of_any_kind_has_the_grey_levels_that_the_eye_sees(content):
    picture = read_picture(content)
    assert picture.dtype == torch.uint8 and picture.shape == (1, 28, 28)
    np.testing.assert_allclose(picture[0].numpy().astype(int), halves(DARK, LIGHT, int), atol=2)


OTHER_RANGES = {
    "1 bit": (saved(GREY.point(lambda level: level > 100, "1"), "PNG"), (0, 255)),
    "large whole numbers": (saved(halves(0, 10**6, np.int32), "TIFF"), (0, 255)),
    "floats below 0": (saved(halves(-1.0, 3.0, np.float32), "TIFF"), (0, 255)),
    "no number": (saved(halves(np.nan, 0.2, np.float32), "TIFF"), (0, 51)),
    "nearly black PNG": (saved(halves(100, 200, np.uint16), "PNG"), (0, 1)),
    "nearly black PGM": (saved(halves(100, 200, np.int32), "PPM"), (0, 1)),
    "one pixel": (saved(np.full((1, 1), 77, np.uint8), "PNG"), (77, 77)),
    "nothing at all, a white page": (saved(Image.new("RGBA", (9, 9)), "PNG"), (255, 255)),
}


@pytest.mark.parametrize("content, expected", OTHER_RANGES.values(), ids=OTHER_RANGES)
def test_levels_of_other_ranges(content, expected):
    assert np.array_equal(read_picture(content)[0], halves(*expected))


def test_a_picture_in_colour_has_its_three_channels():
    image = Image.new("RGBA", (28, 28), (200, 100, 50, 255))
    image.paste((10, 20, 30, 0), (14, 0, 28, 28))  # transparent: the thing is dark, and is seen on white
    picture = read_picture(saved(image, "PNG"), color=True, size=28)
    assert picture.shape == (3, 28, 28)
    assert picture[:, 0, 0].tolist() == [200, 100, 50] and picture[:, 0, 27].tolist() == [255] * 3


def test_the_middle_square_is_taken_and_can_be_inverted():
    image = Image.new("L", (60, 30))
    image.paste(255, (15, 0, 30, 30))  # the left half of the middle square
    picture = read_picture(saved(image, "PNG"))
    assert (picture[0, :, :13] > 240).all() and (picture[0, :, 15:] < 15).all()
    assert torch.equal(read_picture(saved(image, "PNG"), invert=True), 255 - picture)


SEEN = np.array([[10, 80], [150, 220]], np.uint8).repeat(14, 0).repeat(14, 1)
STORED = {  # for each orientation: how a file holds what is SEEN, from the definition of row and column 0 in EXIF 2.3
    1: SEEN, 2: SEEN[:, ::-1], 3: SEEN[::-1, ::-1], 4: SEEN[::-1],
    5: SEEN.T, 6: SEEN.T[::-1], 7: SEEN.T[::-1, ::-1], 8: SEEN.T[:, ::-1],
}  # fmt: skip


@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_stands_upright(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    content = saved(np.ascontiguousarray(STORED[orientation]), "PNG", exif=tags)
    assert np.array_equal(read_picture(content)[0], SEEN)


def with_alpha(level, mode, form, alpha=255):
    """Return a file whose left half has `level` and `alpha`, and whose right half hides the same level."""
    image = Image.new("L", (28, 28), level)
    image.putalpha(Image.fromarray(halves(alpha, 0)))
    return saved(image.convert("RGBA").convert(mode), form)


def with_tag(level, mode):
    """Return a PNG whose right half has the one level, of 90, that a tag calls transparent."""
    if mode == "I;16":
        return saved(halves(level * 257, 90, np.uint16), "PNG", transparency=90)
    image, hidden = Image.fromarray(halves(level, 90)).convert(mode), (90, 90, 90) if mode == "RGB" else 90
    return saved(image, "PNG", transparency=hidden)


def premultiplied(level, alpha, mode):
    """Return a TIFF whose left half has a level that is multiplied by its alpha already."""
    image = Image.fromarray(halves(level * alpha // 255, 0))
    image.putalpha(Image.fromarray(halves(alpha, 0)))
    content = saved(image.convert(mode), "TIFF")
    unassociated, associated = (b"\x52\x01\x03\x00\x01\x00\x00\x00" + bytes([kind]) for kind in (2, 1))
    assert unassociated in content
    return content.replace(unassociated, associated)


@pytest.mark.parametrize("level, ground", [(0, 255), (90, 255), (255, 0), (180, 0)])
@pytest.mark.parametrize("mode, form", [("RGBA", "PNG"), ("LA", "PNG"), ("PA", "TIFF")])
def test_a_thing_on_a_transparent_ground_is_seen_on_white_or_if_it_is_light_on_black(level, ground, mode, form):
    assert np.array_equal(read_picture(with_alpha(level, mode, form))[0], halves(level, ground))


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16"])
def test_a_level_that_a_tag_calls_transparent_is(mode):
    content = with_tag(0, mode)
    assert np.array_equal(read_picture(content)[0], halves(0, 255))


A_FIFTH = {
    "alpha": with_alpha(60, "LA", "PNG", alpha=51),
    "palette": saved(Image.fromarray(halves(60, 9)).quantize(), "PNG", transparency=b"\x33\0"),
    "premultiplied grey": premultiplied(60, 51, "LA"),
    "premultiplied colour": premultiplied(60, 51, "RGBA"),
}


@pytest.mark.parametrize("content", A_FIFTH.values(), ids=A_FIFTH)
def test_a_fifth_of_a_thing_is_mixed_with_four_of_the_ground(content):
    np.testing.assert_allclose(read_picture(content)[0].numpy().astype(int), halves(216, 255, int), atol=2)


NO_PICTURES = {
    "empty": (b"", r"it is empty"),
    "foreign": (b"no picture", r"it has no known format"),
    "damaged": (b"\x89PNG\r\n\x1a\n broken", r".*"),
    "half a PNG": (SEEN_THE_SAME["grey"][:60], r".*truncated.*"),
    "half a JPEG": (SEEN_THE_SAME["colour"][:400], r".*truncated.*"),
    "bomb": (b"P5 20000 20000 255 ", r".*exceeds limit.*"),
}


@pytest.mark.parametrize("content, reason", NO_PICTURES.values(), ids=NO_PICTURES)
def test_a_file_that_is_no_picture_is_refused_in_words(content, reason):
    told = rf"^the file cannot be read as a picture \((?i:{reason})\); a PNG or JPEG can$"
    with pytest.raises(ValueError, match=told) as caught:
        read_picture(content)
    assert "0x" not in str(caught.value)


def test_threads_that_read_pictures_leave_warnings_as_they_were(monkeypatch):
    """The first to begin ends first, so each that puts back what it found would put back what the other had set."""
    opened, before = Image.open, list(warnings.filters)
    second_has_begun, first_has_ended = threading.Event(), threading.Event()
    second = threading.Thread(target=read_picture, args=(SEEN_THE_SAME["grey"],))

    def slowly(file):
        if threading.current_thread() is second:
            second_has_begun.set()
            assert first_has_ended.wait(60)
        else:
            second.start()
            assert second_has_begun.wait(60)
        return opened(file)

    monkeypatch.setattr(Image, "open", slowly)
    read_picture(SEEN_THE_SAME["grey"])
    first_has_ended.set()
    second.join(60)
    assert warnings.filters == before
