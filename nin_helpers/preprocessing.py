"""From pictures to what a network takes: resized and normalised, mirrored at random, drawn or read from a file."""

import io
import threading
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

DRAWN = {"#": 255, "+": 128, ".": 0, " ": 0}  # what a character of a drawing is worth


def preprocess(images, size, mean, std):
    """Return float32 images (batch, channel, size, size), resized bilinearly and normalised to (x / 255 − mean) / std.

    images: uint8 (batch, channel, height, width), on any device, where the work is done. mean, std: numbers, or a tuple
    with one for each channel. Raises ValueError for other images, and for more or fewer numbers than channels.
    """
    if images.dim() != 4 or images.dtype != torch.uint8:
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}, but must be torch.uint8 of shape "
            f"(batch, channel, height, width)"
        )
    x = _normalised(images.float(), mean, std)  # (B, C, H, W)
    return F.interpolate(x, size=(size, size), mode="bilinear")  # (B, C, size, size)


def _normalised(x, mean, std):
    if not isinstance(mean, (tuple, list)) and not isinstance(std, (tuple, list)):
        return (x - 255 * mean) / (255 * std)
    channels = x.unbind(dim=1)
    pairs = [each if isinstance(each, (tuple, list)) else [each] * len(channels) for each in (mean, std)]
    if any(len(each) != len(channels) for each in pairs):
        raise ValueError(
            f"mean={mean!r} and std={std!r} must be numbers, or have one for each channel: the images have "
            f"{len(channels)}"
        )
    return torch.stack([(one - 255 * m) / (255 * s) for one, m, s in zip(channels, *pairs)], dim=1)


def read_drawing(text, size=28):
    """Return the picture (1, size, size), uint8, that a drawing in characters shows, enlarged to fill the square.

    Each line is a row: "#" is bright, "+" half so, "." and space are dark; shorter lines are dark at their end. Raises
    ValueError for another character, naming its place, and for a drawing that is empty or larger than `size`.
    """
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    side = max([len(lines), *map(len, lines)])
    if side == 0:
        raise ValueError("the drawing is empty: draw with # for bright, + for half so, . for dark")
    if side > size:
        raise ValueError(f"the drawing has {len(lines)} lines of up to {side} characters; {size} of each are the most")
    picture = torch.zeros(side, side, dtype=torch.uint8)
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            if character not in DRAWN:
                raise ValueError(f"line {row + 1} has {character!r} at place {column + 1}; use # for bright, + and .")
            picture[row, column] = DRAWN[character]
    index = torch.arange(size) * side // size
    return picture[index][:, index][None]


def read_picture(content, invert=False, size=28, color=False):
    """Return the picture (1, size, size), uint8, in the bytes of an image file: grey, its middle square, resized.

    color: for red, green and blue, (3, size, size).

    It is what the eye sees: upright, of an animation the first frame. What is transparent lies on white, as on a page,
    or on black where the thing itself is light and would not be seen on white. Levels of 16 bits keep their scale; of
    32 bits no file tells the scale: white is the first of 1, 255 and 65,535 that no level exceeds, else the largest.

    invert: for a dark thing on a light ground; the images of the data sets here are bright on dark. ValueError: the
    bytes are no picture that Pillow can read.
    """
    image = ImageOps.fit(_to_rgba(_open(content)), (size, size))
    grey, alpha = (np.asarray(band, np.float32) for band in (image.convert("L"), image.getchannel("A")))
    ground = 0 if (grey * alpha).sum() > 127.5 * alpha.sum() else 255
    levels = np.moveaxis(np.asarray(image.convert("RGB"), np.float32), 2, 0) if color else grey[None]
    seen = torch.from_numpy(ground + (levels - ground) * alpha / 255).round().to(torch.uint8)
    return 255 - seen if invert else seen


class _Silence:
    """A context in which nothing warns, and in which several threads may be at once, as `catch_warnings` alone forbids.

    The first in puts the warnings' filters aside, the last out puts them back.
    """

    def __init__(self):
        self.lock, self.inside, self.filters = threading.Lock(), 0, None

    def __enter__(self):
        with self.lock:
            if not self.inside:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")
            self.inside += 1

    def __exit__(self, *error):
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.filters.__exit__(*error)


_silence = _Silence()


def _open(content):
    try:
        with _silence:  # Pillow warns of a large picture, or of damaged tags: what was read is seen
            image = Image.open(io.BytesIO(content))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
        return image
    except Exception as error:  # a damaged file makes Pillow's readers raise errors of any kind
        reason = str(error) or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):  # its own message names an object of Python
            reason = "it has no known format" if content else "it is empty"
        raise ValueError(f"the file cannot be read as a picture ({reason}); a PNG or JPEG can") from error


def _to_rgba(image):
    if image.mode.startswith(("I", "F")):
        image = _in_8_bits(image)
    elif image.mode in ("La", "LAB"):  # Pillow turns them into nothing else
        image = image.convert({"La": "LA", "LAB": "RGB"}[image.mode])
    return image.convert("RGBA")


def _in_8_bits(image):
    """Return an image of 16 or 32 bits a pixel, whole numbers or floats, in 8 bits; transparency stays."""
    levels = np.nan_to_num(np.asarray(image), posinf=0, neginf=0).astype(np.float64)
    black, white = _black_and_white(image, levels)
    grey = Image.fromarray((255 * (levels - black) / (white - black)).round().astype(np.uint8))
    if "transparency" in image.info:  # the one level that is transparent
        grey.putalpha(Image.fromarray(levels != image.info["transparency"]).convert("L"))
    return grey


def _black_and_white(image, levels):
    """Return which of the `levels` (height, width) of an image are black and white, see `read_picture`."""
    black, white = 0, 65535
    if not image.mode.startswith("I;16") and (image.mode, image.format) not in (("I", "PNG"), ("I", "PPM")):
        black, white = min(0, levels.min()), max(0, levels.max())
        white = next((usual for usual in (1, 255, 65535) if black == 0 and white <= usual), white)
    inverted = getattr(image, "tag_v2", {}).get(262) == 0  # TIFF's "white is zero", which Pillow heeds up to 8 bits
    return (white, black) if inverted else (black, white)


def random_flip(images):
    """Return `images` (batch, channel, height, width), each mirrored left to right with probability one half."""
    flipped = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(3), images)
