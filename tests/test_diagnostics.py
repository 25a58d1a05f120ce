"""The diagnosis against networks whose illness is known, because the test made them ill."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nin_helpers.diagnostics import block_maps, class_maps, diagnose, map_states, moved, shift_accuracy
from nin_helpers.nin import NiN


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 1, 67, 67, generator=generator), torch.arange(8)


def network(init="alive", **options):
    torch.manual_seed(0)
    return NiN(init=init, input_size=67, **options)


def test_a_dead_last_relu_is_named_and_its_gradient_is_exactly_zero(batch):
    model = network()
    with torch.no_grad():
        model.block4[-2].bias.fill_(-100)
    found = diagnose(model, batch)
    assert found.cause == "dead" and found.dead_classes == 10 and "ReLU" in found.sentence
    assert {layer.gradient for layer in found.layers} == {None, 0.0}
    assert F.cross_entropy(model(batch[0]), batch[1]).item() == pytest.approx(math.log(10))


@pytest.mark.parametrize("init", ["default", "xavier"])
def test_logits_that_do_not_depend_on_the_image_are_named(batch, init):
    found = diagnose(network(init), batch)
    assert found.cause == "blind" and "image" in found.sentence


@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"head": "fc"}])
def test_a_network_that_starts_alive_has_no_cause(batch, options):
    model = network(**options)
    if options.get("batch_norm"):  # its running statistics are those of no image yet
        for _ in range(20):
            model.train()(batch[0])
    found = diagnose(model, batch)
    assert found.cause is None and found.dead_classes == 0


def test_a_class_without_any_gradient_is_counted_and_the_others_are_not(batch):
    model = network()
    with torch.no_grad():
        model.block4[-2].bias[:3] = -100
    found = diagnose(model, batch)
    assert found.dead_classes == 3 and found.cause is None
    assert found.layers[-1].live == pytest.approx(0.7)
    lines = str(found).splitlines()
    assert len(lines) == len(found.layers) + 2 and lines[-1] == found.sentence


def test_each_figure_is_what_torch_gives():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    x, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    hidden = model[:2](x)
    F.cross_entropy(model(x), labels).backward()
    layers = diagnose(model, (x, labels)).layers
    assert [layer.name for layer in layers] == ["0", "1", "2"]
    assert layers[1].spread == pytest.approx(hidden.var(dim=0).mean().sqrt().item())
    assert layers[1].live == pytest.approx((hidden > 0).any(dim=0).float().mean().item())
    for layer, module in ((layers[0], model[0]), (layers[2], model[2])):
        expected = torch.cat([parameter.grad.flatten() for parameter in module.parameters()]).norm().item()
        assert layer.gradient == pytest.approx(expected)
    assert layers[1].gradient is None


def test_frozen_parameters_have_no_gradient_and_do_no_harm(batch):
    model = network()
    model.block1.requires_grad_(False)
    layers = {layer.name: layer for layer in diagnose(model, batch).layers}
    assert layers["block1.0"].gradient is None and layers["block2.0"].gradient > 0


def per_pixel(*weights, bias=0.0):
    """Return a 1 × 1 convolution and a ReLU, one row of `weights` per channel that comes out."""
    convolution = nn.Conv2d(len(weights[0]), len(weights), 1)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(weights)[..., None, None])
        convolution.bias.fill_(bias)
    return [convolution, nn.ReLU()]


def test_live_open_and_rank_of_maps_worked_out_by_hand():
    x = torch.tensor([1.0, 2.0, -1.0, -3.0]).reshape(2, 1, 1, 2)
    # x above 0 opens x and 2x, one direction; x below 0 opens −x, another; 0x opens nowhere
    first = per_pixel([1.0], [2.0], [-1.0], [0.0])
    both = per_pixel([1.0, 0.0, 1.0, 0.0], [3.0, 0.0, 3.0, 5.0])
    dead = per_pixel([1.0, 1.0], [0.0, 1.0], [1.0, 0.0], bias=-100.0)
    states = map_states(nn.Sequential(*first, *both, *dead), x)
    assert [(s.name, s.channels, s.live, s.open, s.rank) for s in states] == [
        ("1", 4, 3, 1.5, 2), ("3", 2, 2, 2.0, 1), ("5", 3, 0, 0.0, 0),
    ]  # fmt: skip


def test_a_direction_below_a_hundredth_of_the_largest_does_not_count():
    for share, rank in ((0.009, 1), (0.011, 2)):
        x = torch.diag(torch.tensor([1.0, share])).reshape(2, 2, 1, 1)
        assert map_states(nn.Sequential(nn.ReLU()), x)[0].rank == rank


def test_map_states_of_nin_are_one_per_relu_those_of_the_head_too(batch):
    assert [state.channels for state in map_states(network(head="fc3"), batch[0])[-2:]] == [4096, 4096]
    model = network(batch_norm=True, num_pointwise=1).train()
    states = map_states(model, batch[0])
    relus = [name for name, layer in model.named_modules() if isinstance(layer, nn.ReLU)]
    assert [state.name for state in states] == relus
    assert [state.channels for state in states] == [96, 96, 256, 256, 384, 384, 10, 10]
    assert all(0 <= state.open <= state.live <= state.channels and state.rank <= state.live for state in states)


@pytest.mark.parametrize("size, height", [(67, 1), (131, 3)])
@pytest.mark.parametrize("options", [{}, {"final_relu": False}, {"batch_norm": True, "reduction": (8,)}], ids=str)
def test_the_mean_of_each_class_map_is_its_logit(size, height, options):
    model, x = network(**options).eval(), torch.rand(3, 1, size, size)
    maps, logits = class_maps(model, x)
    assert maps.shape == (3, 10, height, height) and not maps.requires_grad
    assert torch.equal(maps.mean(dim=(2, 3)), logits)
    assert torch.equal(logits, model(x)) and logits.any()
    assert torch.equal(maps, model[:-2](x))


@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"final_relu": False}])
def test_the_maps_of_a_block_are_those_behind_its_window_and_at_its_end(batch, options):
    model, (x, _) = network(**options).eval(), batch
    found = block_maps(model, x)
    assert list(found) == ["block1", "block2", "block3", "block4"]
    with torch.no_grad():
        end = model.block1(x)
        window = model.block1[: 3 if "batch_norm" in options else 2](x)
    torch.testing.assert_close(found["block1"], (window, end))
    torch.testing.assert_close(found["block4"][1], class_maps(model, x)[0])


def test_shifts_of_more_than_100_images_are_those_by_hand():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 9 * 12, 3), nn.Dropout(0.9))
    x, labels = torch.rand(230, 2, 9, 12), torch.randint(3, (230,))

    def share(*way):
        with torch.no_grad():
            return (model[:2](moved(x, *way, 0.3)).argmax(dim=1) == labels).float().mean().item()

    found = shift_accuracy(model, x, labels, (0, 4), fill=0.3)
    assert found[0] == pytest.approx(share(0, 0))
    assert found[4] == pytest.approx(sum(share(*way) for way in ((4, 0), (-4, 0), (0, 4), (0, -4))) / 4)
    assert found[0] != found[4]


@pytest.mark.parametrize(
    "look, count, more, message",
    [
        (lambda model, *batch: diagnose(model, batch), 1, [], "batch has 1 images; at least 2"),
        (lambda model, x, _: class_maps(model, x), 1, [], 'model has no layer "gap"'),
        (shift_accuracy, 0, [(0,)], "x has no images"),
        (shift_accuracy, 1, [(0, 8)], "shift=8 must be a whole number of at least 0 and at most 7"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(look, count, more, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        look(nn.Flatten(), torch.zeros(count, 1, 9, 8), torch.zeros(count), *more)


@pytest.mark.parametrize("down, right", [(0, 0), (2, 0), (-1, 3), (4, -5)])
def test_a_moved_picture_keeps_what_stays_inside(down, right):
    x = torch.rand(2, 1, 6, 7)
    expected = torch.full_like(x, 0.25)
    for row in range(6):
        for column in range(7):
            if 0 <= row - down < 6 and 0 <= column - right < 7:
                expected[..., row, column] = x[..., row - down, column - right]
    assert torch.equal(moved(x, down, right, fill=0.25), expected)
