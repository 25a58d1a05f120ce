"""Exercises 2 to 4 and 6 to 8: blocks, heads, reductions and whole networks, by what they do with random maps."""

import copy
import itertools

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nin_helpers.exercises.answers import Wrong, expect, make_module, run_recorded
from nin_helpers.nin import NiN, nin_block
from nin_helpers.resources import count_macs, count_parameters


def check_block(**options):
    """Compare the reader's block with ours of these options, convolution by convolution in the order of the calls.

    It is compared as it trains, where dropout and batch normalisation show.
    """

    def check_it(answer):
        for arguments in ((3, 8, 5, 2, 1), (1, 4, 3, 1, 0), (6, 5, 1, 1, 2)):
            block, ours = make_module(answer, *arguments).train(), nin_block(*arguments, **options)
            x = torch.randn(2, arguments[0], 19, 23)
            output, calls = run_recorded(block, x)
            references = [layer for layer in ours if isinstance(layer, nn.Conv2d)]
            expect(len(calls) == len(references), f"It calls {len(calls)} of nn.Conv2d. How many should it?")
            for number, (call, reference) in enumerate(zip(calls, references), start=1):
                expect(
                    _is_same_convolution(*call, reference),
                    f"For {arguments}, convolution {number} of {len(calls)} is {call[0]}. Are its channels, kernel, "
                    f"stride, padding and bias what they should be?",
                )
            expect(
                count_parameters(block) == count_parameters(ours),
                "Each convolution is right, but not their parameters in all: is one used twice, or is there another "
                "layer that has some?",
            )
            wanted = ours(x)
            expect(
                output.shape == wanted.shape and torch.allclose(output, wanted, atol=1e-5),
                "Each convolution is right, the output is not. Is there a ReLU behind each, and nothing else?",
            )

    return check_it


@torch.no_grad()
def _is_same_convolution(layer, x, made, reference):
    """Return whether `layer` made of x what `reference` makes of it once it has the same weights; it gets them."""
    if layer.bias is None or layer.weight.shape != reference.weight.shape:
        return False
    reference.weight.copy_(layer.weight)
    reference.bias.copy_(layer.bias)
    wanted = reference(x)
    return made.shape == wanted.shape and torch.allclose(made, wanted, atol=1e-5)


@torch.no_grad()
def check_head(answer):
    """Ask for a weight for each number of the map: of a linear layer, or of a convolution as large as the map."""
    for channels, height, width, classes in ((6, 4, 5, 3), (3, 2, 2, 7)):
        head = make_module(answer, channels, height, width, classes).eval()
        images = torch.randn(16, channels, height, width)
        for x in (images[:1], images):
            scores, _ = run_recorded(head, x)
            expect(
                scores.shape == (len(x), classes),
                f"From {tuple(x.shape)} it makes {tuple(scores.shape)}; it should be one score per image and class.",
            )
        numbers = channels * height * width
        expect(
            any(weight.dim() > 1 and weight[0].numel() == numbers for weight in head.parameters()),
            f"No layer of it has a weight for each of the {numbers} numbers of a {channels} × {height} × {width} map.",
        )
        expect(
            not torch.allclose(head(images.flip(3)), scores, atol=1e-6),
            "It gives a mirrored map the same scores: the places of the pixels are lost.",
        )
        expect(
            not torch.allclose(scores.sum(dim=1), torch.ones(len(scores))),
            "Its scores add up to 1, as probabilities do. The loss has a softmax of its own.",
        )


def check_reduction(answer):
    """Look at the convolutions on the way: whether one has a number of channels between, and what lies before the last.

    A module is linear up to there if the mean of two maps gives the mean of what they give. The maps have large values,
    beside which no bias hides a ReLU.
    """
    for (channels, classes), size in itertools.product(((48, 6), (384, 10)), ((5, 5), (3, 4))):
        module = make_module(answer, channels, classes).eval()
        a, b = 100 * torch.randn(2, channels, *size)
        x = torch.stack([a, b, (a + b) / 2])
        output, calls = run_recorded(module, x)
        expect(
            output.shape == (3, classes, *size),
            f"From {tuple(x.shape)} it makes {tuple(output.shape)}; height and width should stay, one map per class.",
        )
        widths = [made.shape[1] for _, _, made in calls]
        last = next((step for step, width in enumerate(widths) if width <= classes), len(widths))
        expect(
            any(width < channels for width in widths[:last]),
            f"From {channels} channels to {classes}, its convolutions make {widths}: the fall still happens at once.",
        )
        a, b, mean = calls[last][1] if last < len(calls) else output
        expect(
            not torch.allclose(mean, (a + b) / 2, atol=1e-4 * mean.abs().max().item()),
            "Up to the last step it is linear: with nothing else between them, its steps are one step.",
        )


def check_family(answer):
    """Compare parameters and multiply–accumulates of neighbours, each of which `_check_member` has looked at."""
    expect(hasattr(answer, "items"), f"This should be a dictionary; it is of type {type(answer).__name__}.")
    expect(len(answer) >= 3, f"A family of {len(answer)} is small: three or more, please.")
    costs = []
    for name, model in answer.items():
        expect(isinstance(model, nn.Module), f"{name!r} is of type {type(model).__name__}, not a model.")
        costs.append((name, *_check_member(name, copy.deepcopy(model).cpu().float().eval())))
    for (small, *low), (large, *high) in itertools.pairwise(costs):
        for what, a, b in zip(("parameters", "multiply–accumulates"), low, high):
            expect(a < b, f"From {small!r} to {large!r} the {what} do not grow: {a:,} and {b:,}.")


def _check_member(name, model):
    """Look for maps whose means are the scores, at two sizes, and for blocks; return parameters, and MACs at 224 px."""
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    taken = {layer.in_channels for layer in convolutions} - {0}  # as a lazy one has before its first call
    channels = min(taken - {layer.out_channels for layer in convolutions} or taken or {1})
    for size in ((224, 224), (256, 240)):
        calls = _check_means(f"{name!r}, at", model, (2, channels, *size))
    kernels = [layer.kernel_size for layer, *_ in calls]
    pointwise = [kernel == (1, 1) for kernel in kernels]
    expect(any(pointwise) and not all(pointwise), f"{name!r}: its kernels are {kernels}. What is an NiN block made of?")
    expect(not pointwise[0], f"{name!r} begins with a 1 × 1 convolution. What does a block begin with?")
    return count_parameters(model), count_macs(model, (1, channels, 224, 224))


def _check_means(at, model, shape):
    """Look for maps whose means are the scores of pictures of `shape`, and return the calls of the convolutions.

    The pictures have large values, beside which biases do not make all pixels of a map alike.
    """
    with _Maps() as maps:
        scores, calls = run_recorded(model, 1e4 * torch.randn(shape))
    at = f"{at} {shape[2]} × {shape[3]} pixels:"
    expect(scores.dim() == 2, f"{at} it makes {tuple(scores.shape)}; it should be (image, class).")
    linear = any(isinstance(layer, nn.Linear) for layer in model.modules())
    expect(
        maps.have_mean(scores),
        f"{at} its scores are not the means of one map per class. "
        f"{'It has a fully connected layer; NiN has none.' if linear else 'What makes the average global?'}",
    )
    return calls


SMALL, LARGER = (2, 1, 28, 28), ((2, 1, 44, 52), (2, 1, 60, 56))
BORDER = 8  # pixels by which padding may widen a picture


def check_small_network(answer):
    """Look at a network for grey pictures of 28 × 28 pixels: its maps, its blocks, its means, and its work.

    The measure is NiN's work at 112 pixels, and a twentieth: the paper's network for small pictures does 3.5 % more.
    """
    expect(isinstance(answer, nn.Module), f"This should be a model; it is of type {type(answer).__name__}.")
    model = copy.deepcopy(answer).cpu().float().eval()
    with _Maps() as maps:
        scores, _ = run_recorded(model, torch.randn(SMALL))
    expect(scores.shape == (2, 10), f"From {SMALL} it makes {tuple(scores.shape)}; it should be (2, 10).")
    for operation, (height, width) in maps.sizes:
        expect(
            max(height, width) <= SMALL[2] + ("upsample" not in operation) * BORDER,
            f"From pictures of 28 × 28 pixels it makes maps of {height} × {width}: nothing is to be enlarged.",
        )
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()  # a lift or copies would hide what a ReLU does
    for shape in LARGER:
        try:
            calls = _check_means("At", model, shape)
        except RuntimeError as error:
            size = f"{shape[2]} × {shape[3]}"
            raise Wrong(f"It takes pictures of 28 × 28 pixels, but none of {size}, as a mean does: {error}") from error
    _check_blocks(calls)
    with torch.device("meta"):
        ours = count_macs(NiN(input_size=112), (1, 1, 112, 112))
    macs = count_macs(model, (1, *SMALL[1:]))
    expect(
        macs <= 1.05 * ours,
        f"It does {macs / 1e6:,.1f} million multiply–accumulates for an image, NiN at 112 pixels {ours / 1e6:,.1f}.",
    )


def _check_blocks(calls):
    """Look in the calls of the convolutions for windows, a 1 × 1 layer behind each, and something between the steps."""
    kernels = [layer.kernel_size for layer, *_ in calls]
    pointwise = [kernel == (1, 1) for kernel in kernels]
    expect(
        pointwise.count(False) > 1 and not pointwise[0],
        f"Its kernels are {kernels}. A NiN is made of several blocks, and each begins with a window.",
    )
    for number, (here, behind) in enumerate(zip(pointwise, [*pointwise[1:], False]), start=1):
        expect(here or behind, f"Its kernels are {kernels}: number {number}, a window, has no 1 × 1 layer behind it.")
    for number, ((_, _, made), (_, taken, _)) in enumerate(itertools.pairwise(calls), start=1):
        expect(
            not torch.equal(made, taken),
            f"Convolution {number + 1} takes what number {number} makes as it is: without a ReLU the two are one step.",
        )


class _Maps(TorchDispatchMode):
    """Keeps the maps (batch, channel, height, width) that any operation makes, be it a layer's or a function's.

    sizes: [(operation, (height, width)), …].
    """

    def __init__(self):
        super().__init__()
        self.made, self.sizes = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for maps in tree_leaves(result):  # some make more than one tensor: max pooling, indices of whole numbers
            if isinstance(maps, torch.Tensor) and maps.is_floating_point() and maps.dim() == 4:
                self.made += [maps] if maps.shape[2:].numel() > 1 else []  # one pixel is its own mean
                self.sizes.append((str(function), tuple(maps.shape[2:])))
        return result

    def have_mean(self, scores):
        """Return whether scores (batch, class) are the means over all pixels of one of the maps."""
        means = [maps.mean(dim=(2, 3)) for maps in self.made if maps.shape[:2] == scores.shape]
        return any(torch.allclose(mean, scores, rtol=1e-3, atol=1e-6 * mean.abs().max().item()) for mean in means)
