"""What a case stands for: its configuration, its network and start, and what is measured of it."""

from dataclasses import asdict, replace
from unittest.mock import Mock

import pytest
import torch
from tiny import equal_states
from torch import nn

from nin_helpers.diagnostics import map_states, shift_accuracy
from nin_helpers.experiments import cases
from nin_helpers.experiments.cases import MEASURES, build, case_config, change_start, recorded_config, searched_config
from nin_helpers.experiments.specs import EXPERIMENTS, Case, Training
from nin_helpers.nin import NiN, nin_family, paper_nin
from nin_helpers.preprocessing import preprocess
from nin_helpers.training import evaluate, make_config

FOUND = {"lr": 0.01, "batch_size": 16, "init": "kaiming", "optimizer": "momentum", "schedule": "constant"}


@pytest.mark.parametrize("name", [name for name, each in EXPERIMENTS.items() if isinstance(each, Training)])
def test_each_case_of_an_experiment_can_be_built(monkeypatch, name):
    monkeypatch.setattr(cases, "best_settings", lambda folder: FOUND)
    experiment = EXPERIMENTS[name]
    assert len({case.name for case in experiment.cases}) == len(experiment.cases)
    for case in experiment.cases:
        config = case_config(case, experiment.profile, seed=3, precision=experiment.precision)
        assert (config.recipe, config.profile, config.seed) == (case.recipe, experiment.profile, 3)
        assert all(getattr(config, key) == value for key, value in case.settings.items())
        with torch.device("meta"):
            model = build(case, config)
        assert getattr(model, "input_size", config.size) == config.size
        change_start(model, case.change)
        assert case.measure in (None, *MEASURES)


def test_a_case_may_be_the_papers_network():
    config = make_config("reduced", init="kaiming", batch_norm=True, size=28)
    model = build(Case("a", model={"paper": True}), config)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10) and not model.block1[0].bias.any()
    assert model.state_dict().keys() == paper_nin(1, batch_norm=True).state_dict().keys()


def test_a_case_may_be_a_member_of_the_family_or_have_options_of_its_own():
    config = make_config("reduced")
    family = build(Case("a", model={"family": "A"}), config).state_dict()
    torch.manual_seed(0)
    assert equal_states(family, nin_family("A", init="alive").state_dict())
    model = build(Case("a", model={"num_pointwise": 0, "input_size": 131}), config)
    assert model.input_size == 131 and not any(isinstance(layer, nn.Conv2d) for layer in model.block1[1:])


def test_what_is_recorded_is_all_of_a_configuration_but_where_and_with_which_seed_it_ran():
    case = Case("a", settings={"lr": 0.5}, model={"reduction": (96,)}, change=("lift",))
    recorded = recorded_config(case_config(case, "study", seed=3, device="cpu"), case)
    assert (recorded["size"], recorded["lr"], recorded["recipe"]) == (131, 0.5, "adamw_alive")
    assert (recorded["model"], recorded["change"]) == ({"reduction": [96]}, ["lift"])
    assert not {"seed", "device"} & recorded.keys()


def test_momentum_is_sgd_with_nine_tenths_of_it_and_pixels_are_those_of_our_recipe():
    config, ours = searched_config("reduced", FOUND, seed=7), make_config("reduced", "adamw_alive")
    assert (config.optimizer, config.momentum, config.seed, config.recipe) == ("sgd", 0.9, 7, "search")
    assert (config.lr, config.init, config.schedule) == (0.01, "kaiming", "constant")
    assert (config.size, config.mean, config.std) == (ours.size, ours.mean, ours.std)
    config = searched_config("reduced", FOUND | {"optimizer": "adamw"})
    assert (config.optimizer, config.momentum) == ("adamw", 0.0)


@pytest.mark.parametrize("batch_size", [16, 32, 64, 128])
def test_each_batch_size_sees_as_many_images(batch_size):
    settings, base = FOUND | {"batch_size": batch_size}, make_config("reduced")
    config = searched_config("reduced", settings)
    assert config.num_steps * config.batch_size == base.num_steps * base.batch_size
    config = searched_config("full", settings)  # whose length is a number of epochs
    assert (config.num_epochs, config.num_steps, config.batch_size) == (10, None, batch_size)


def started(init, change=None):
    torch.manual_seed(0)
    model = NiN(init=init, input_size=67)
    change_start(model, change)
    return model.state_dict()


@pytest.mark.parametrize("k", [0, 2, 8])
def test_killed_classes_are_dead_and_the_others_alive(random_images, k):
    model = NiN(init="alive", input_size=67).eval()
    change_start(model, k)
    with torch.no_grad():
        logits = model(random_images)
    assert logits.any(dim=0).tolist() == [False] * k + [True] * (10 - k)


def test_parts_of_the_cure_make_up_our_start():
    assert equal_states(started("kaiming", ("lift", "copies")), started("alive"))
    plain, without = started("xavier"), started("xavier", ("zero biases",))
    for name, value in without.items():
        assert torch.equal(value, torch.zeros_like(value) if name.endswith("bias") else plain[name])
    lifted, copied = started("kaiming", ("lift",)), started("kaiming", ("copies",))
    assert (lifted["block4.0.bias"] == 4).all() and not copied["block4.0.bias"].any()
    assert torch.equal(copied["block4.2.weight"].flatten(1), torch.eye(10)) and (lifted["block4.2.weight"] != 0).all()


def measured(measure, data, **options):
    model = NiN(init="alive", input_size=67, **options).eval()
    config = make_config("reduced", size=67, precision="fp32", device="cpu")
    return MEASURES[measure](model, data, config, {"precision": "fp32"}), model, config


def test_shifts_are_measured_on_the_test_images_with_black_coming_in(monkeypatch, few):
    spy = Mock(wraps=shift_accuracy)
    monkeypatch.setattr(cases, "shift_accuracy", spy)
    found, model, config = measured("shifts", few)
    x, black = (
        preprocess(images, 67, config.mean, config.std) for images in (few.test.images, few.test.images[:1] * 0)
    )
    expected = shift_accuracy(model, x, few.test.labels, cases.SHIFTS, black.max().item())
    assert found["shifts"] == {str(shift): share for shift, share in expected.items()}
    assert spy.call_args_list[0].args[-1] == pytest.approx(black.max().item())
    assert found["shifts"]["0"] == evaluate(model, few, config)["test_accuracy"]


def test_other_sizes_are_measured_where_the_head_takes_them(few):
    found, model, config = measured("shifts", few)
    assert list(found["sizes"]) == ["67", "99", "131", "163"] and found["sizes"]["67"] == found["shifts"]["0"]
    assert found["sizes"]["131"] == evaluate(model, few, replace(config, size=131))["test_accuracy"]
    assert measured("shifts", few, head="fc")[0].keys() == {"shifts"}


def test_maps_are_those_behind_the_last_convolution_stage(few):
    found, model, config = measured("maps", few, reduction=(8,))
    names = [f"{block}.{layer}" for block in ("block3", "reduction1", "block4") for layer in (1, 3, 5)]
    assert [state["name"] for state in found["maps"]] == names
    states = map_states(model, preprocess(few.test.images, 67, config.mean, config.std))
    assert found["maps"] == [asdict(state) for state in states if state.name in names]
