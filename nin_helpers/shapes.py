"""Convolution arithmetic, and the table of a model's layers."""

from nin_helpers.checks import check_whole_number


def conv_output_size(size, kernel_size, stride=1, padding=0):
    """Return the height (or width) in pixels that a convolution or pooling window leaves of `size` pixels.

    The window of `kernel_size` pixels fits ⌊(size + 2 · padding − kernel_size) / stride⌋ + 1 times.
    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), relationship 6.

    Raises ValueError for an argument that is not a whole number or is out of range, and where no window fits.
    """
    for name, value, smallest in (
        ("size", size, 1),
        ("kernel_size", kernel_size, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
    ):
        check_whole_number(name, value, smallest)
    if size + 2 * padding < kernel_size:
        raise ValueError(
            f"size={size} is too small: with padding={padding} there are {size + 2 * padding} pixels, and a window of "
            f"kernel_size={kernel_size} does not fit; the smallest size that works is {kernel_size - 2 * padding}"
        )
    return (size + 2 * padding - kernel_size) // stride + 1


def fields(size, windows):
    """Return [(first, last), …]: which pixels of `size` each one behind the `windows` sees, its receptive field.

    windows: [(kernel_size, stride, padding), …], one behind another. A field that reaches over an edge, into the
    padding, begins below 0 or ends above size − 1. Raises as `conv_output_size` does.
    Source: Dumoulin and Visin (2016), as above; Araujo, Norris and Sim, "Computing receptive fields", Distill (2019).
    """
    first, extent, step = 0, 1, 1
    for kernel_size, stride, padding in windows:
        size = conv_output_size(size, kernel_size, stride, padding)
        first, extent, step = first - padding * step, extent + (kernel_size - 1) * step, stride * step
    return [(first + place * step, first + place * step + extent - 1) for place in range(size)]
