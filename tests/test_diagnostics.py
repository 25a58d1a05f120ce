"""The diagnosis against networks whose illness is known, because the test made them ill."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nin_helpers.diagnostics import diagnose
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


def test_the_model_is_left_as_it_was(batch):
    model = network(batch_norm=True).train()
    model.block1.eval()
    modes = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    diagnose(model, batch)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_frozen_parameters_have_no_gradient_and_do_no_harm(batch):
    model = network()
    model.block1.requires_grad_(False)
    layers = {layer.name: layer for layer in diagnose(model, batch).layers}
    assert layers["block1.0"].gradient is None and layers["block2.0"].gradient > 0


def test_one_image_is_refused(batch):
    with pytest.raises(ValueError, match="batch has 1 images; at least 2"):
        diagnose(network(), (batch[0][:1], batch[1][:1]))


def test_it_prints_a_line_per_layer_and_the_sentence(batch):
    found = diagnose(network(), batch)
    lines = str(found).splitlines()
    assert len(lines) == len(found.layers) + 2 and lines[-1] == found.sentence
