"""Convolution arithmetic, and the table of a model's layers."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class ShapeStep:
    """One step of a shape ladder: a window that goes over a square of `size` pixels.

    output: height and width in pixels behind it. unused: how many rows (and columns) at the end, padding included, no
    window reaches, because the formula rounds down. problem: why there is no output; size, output and unused are None
    where a rung before has a problem already. channels: of the output.
    """

    name: str
    channels: int
    size: int | None
    kernel_size: int
    stride: int
    padding: int
    output: int | None
    unused: int | None
    problem: str | None = None

    @property
    def formula(self):
        """The arithmetic with its numbers in it, the result left out."""
        n = "?" if self.size is None else self.size
        return f"⌊({n} + 2·{self.padding} − {self.kernel_size}) / {self.stride}⌋ + 1"


def ladder(input_size, windows):
    """Return the `ShapeStep`s that a square image of `input_size` pixels goes down, one for each window.

    windows: [(name, channels, kernel_size, stride, padding), …]. A window that does not fit ends the ladder: its rung
    has the problem. Raises ValueError for a number that is out of range, as `conv_output_size` does.
    """
    check_whole_number("input_size", input_size, 1)
    size, rungs = input_size, []
    for name, channels, kernel_size, stride, padding in windows:
        check_whole_number("channels", channels, 1)
        conv_output_size(10**9, kernel_size, stride, padding)  # refuses what is out of range
        output = unused = problem = None
        if size is not None and size + 2 * padding >= kernel_size:
            output = conv_output_size(size, kernel_size, stride, padding)
            unused = (size + 2 * padding - kernel_size) % stride
        elif size is not None:
            there = size + 2 * padding
            count = "1 pixel is" if there == 1 else f"{there} pixels are"
            problem = f"{name} needs a window of {kernel_size}, but only {count} there"
        rungs.append(ShapeStep(name, channels, size, kernel_size, stride, padding, output, unused, problem))
        size = output
    return rungs


def judge_size(rung, guess):
    """Return (right, sentence) for a reader's guess, as typed, of a rung's output; ValueError: no whole number."""
    text = str(guess).strip()
    if not text.isdecimal():
        raise ValueError(f"your prediction is {text!r}, but must be a whole number of pixels, such as 26")
    right = int(text) == rung.output
    verdict = "Right" if right else f"Not {int(text)}"
    return right, f"{verdict}: behind {rung.name} there are {rung.formula} = {rung.output} pixels."
