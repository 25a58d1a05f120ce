"""From pictures to what a network takes: resized and normalised, mirrored at random, drawn or read from a file."""

import torch
import torch.nn.functional as F

DRAWN = {"#": 255, "+": 128, ".": 0, " ": 0}  # what a character of a drawing is worth


def preprocess(images, size, mean, std):
    """Return float32 images (batch, channel, size, size), resized bilinearly and normalised to (x / 255 − mean) / std.

    images: uint8 (batch, channel, height, width), on any device, where the work is done. Raises ValueError for others.
    """
    if images.dim() != 4 or images.dtype != torch.uint8:
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}, but must be torch.uint8 of shape "
            f"(batch, channel, height, width)"
        )
    x = (images.float() - 255 * mean) / (255 * std)  # (B, C, H, W)
    return F.interpolate(x, size=(size, size), mode="bilinear")  # (B, C, size, size)


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


def read_picture(content, invert=False, size=28):
    """Return the picture (1, size, size), uint8, in the bytes of an image file: grey, its middle square, resized.

    invert: for a dark thing on a light ground; the images of the data sets here are bright on dark. ValueError: the
    bytes are no picture that Pillow can read.
    """
    import io

    import numpy as np
    from PIL import Image, ImageOps

    try:
        image = ImageOps.fit(ImageOps.grayscale(Image.open(io.BytesIO(content))), (size, size))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the file cannot be read as a picture ({error}); a PNG or JPEG can") from error
    return torch.from_numpy(np.array(ImageOps.invert(image) if invert else image))[None]


def random_flip(images):
    """Return `images` (batch, channel, height, width), each mirrored left to right with probability one half."""
    flipped = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(3), images)
