"""Experiments: what a file of results holds, and that a run is never repeated nor lost.

Each run here is two steps on the digits, in this process: a patch of a test does not reach into a process of a pool.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nin_helpers import experiments
from nin_helpers.datasets import DataError
from nin_helpers.diagnostics import map_states, shift_accuracy
from nin_helpers.experiments import (
    EXPERIMENTS,
    best_settings,
    first_steps,
    load_result,
    report,
    run_experiment,
    run_first_steps,
    run_resources,
    summarise,
)
from nin_helpers.experiments.runner import searched_config
from nin_helpers.nin import NiN, nin_family
from nin_helpers.preprocessing import preprocess
from nin_helpers.training import PROFILES, evaluate, make_config

RUN_KEYS = {
    "case", "seed", "train_loss", "warned", "dead_classes", "test_accuracy", "test_images", "training_seconds",
}  # fmt: skip
CASES = [
    {"case": "a"},  # "alive", where no recipe is named
    {"case": "b", "recipe": "sgd_xavier", "model": {"batch_norm": True}},
]
TINY = {"size": 67, "batch_size": 4, "num_steps": 2, "num_evaluations": 1, "test_limit": 8, "validation_limit": 4}
real_load_data, real_train = experiments.load_data, experiments.train


@pytest.fixture
def runs(monkeypatch, digits, in_this_process):
    """Make experiment "tiny" small, and return the list of (recipe, seed) that were trained."""
    trained = []

    def counting_train(model, data, config, **options):
        trained.append((config.recipe, config.seed))
        return real_train(model, data, config, **options)

    monkeypatch.setitem(EXPERIMENTS, "tiny", CASES)
    monkeypatch.setitem(PROFILES, "reduced", TINY)
    monkeypatch.setattr(experiments, "load_data", lambda name, root=None: digits)
    monkeypatch.setattr(experiments, "train", counting_train)
    return trained


ALL_OF_TWO_SEEDS = [("alive", 0), ("sgd_xavier", 0), ("alive", 1), ("sgd_xavier", 1)]


def test_each_case_is_run_with_each_seed_and_the_file_holds_the_result(runs, tmp_path):
    result = run_experiment("tiny", seeds=2, out=tmp_path)
    assert runs == ALL_OF_TWO_SEEDS
    assert [(run["case"], run["seed"]) for run in result["runs"]] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert json.loads((tmp_path / "tiny.json").read_text()) == result
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]


def test_a_result_says_how_it_was_made_and_each_run_what_came_out(runs, tmp_path):
    result = run_experiment("tiny", seeds=1, out=tmp_path)
    told = ("experiment", "profile", "precision", "device", "threads")
    assert [result[key] for key in told] == ["tiny", "reduced", "fp32", "cpu", 1]
    assert result["versions"]["torch"] == torch.__version__
    for run in result["runs"]:
        assert run.keys() == RUN_KEYS
        assert 0 <= run["test_accuracy"] <= 1 and run["test_images"] == 8 and run["warned"] is False


def test_a_case_may_have_other_settings_and_be_judged_by_held_out_images(runs, monkeypatch, tmp_path, digits):
    case = {"case": "a", "held_out": True, "settings": {"num_steps": 3, "test_limit": None}}
    monkeypatch.setitem(EXPERIMENTS, "tiny", [case])
    result = run_experiment("tiny", seeds=1, out=tmp_path)
    (run,) = result["runs"]
    assert run.keys() == {key.replace("test_", "validation_") for key in RUN_KEYS}
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = make_config("reduced", num_steps=3, precision="fp32", device="cpu", validation_limit=None)
    history = real_train(NiN(init="alive", input_size=67), digits, config, on_evaluation=lambda _: None)
    assert run["validation_accuracy"] == history["evaluations"][-1]["validation_accuracy"]
    assert run["validation_images"] == len(digits.validation)
    assert summarise(result)["a"]["median_accuracy"] == run["validation_accuracy"]


def test_a_run_is_that_of_train_with_the_same_seed(runs, tmp_path, digits):
    (run,) = [
        run for run in run_experiment("tiny", seeds=2, out=tmp_path)["runs"] if (run["case"], run["seed"]) == ("b", 1)
    ]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    config = make_config("reduced", "sgd_xavier", seed=1, precision="fp32", device="cpu")
    history = real_train(
        NiN(init="xavier", batch_norm=True, input_size=67), digits, config, on_evaluation=lambda _: None
    )
    assert run["train_loss"] == history["evaluations"][-1]["train_loss"]
    assert run["test_accuracy"] == history["test_accuracy"]


def test_a_second_call_runs_nothing_again(runs, tmp_path):
    first = run_experiment("tiny", seeds=2, out=tmp_path)
    before = (tmp_path / "tiny.json").read_bytes()
    runs.clear()
    assert run_experiment("tiny", seeds=2, out=tmp_path) == first
    assert runs == [] and (tmp_path / "tiny.json").read_bytes() == before


def test_more_seeds_run_only_the_new_ones(runs, tmp_path):
    first = run_experiment("tiny", seeds=1, out=tmp_path)
    runs.clear()
    second = run_experiment("tiny", seeds=2, out=tmp_path)
    assert runs == [("alive", 1), ("sgd_xavier", 1)]
    assert [run for run in second["runs"] if run["seed"] == 0] == first["runs"]


def fail_at(number, monkeypatch, error):
    """Let the training of run `number`, from 1 on, raise `error`."""
    train, count = experiments.train, []

    def failing_train(*arguments, **options):
        count.append(1)
        if len(count) == number:
            raise error
        return train(*arguments, **options)

    monkeypatch.setattr(experiments, "train", failing_train)


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=["error", "stop button"])
def test_runs_before_an_end_are_kept_and_the_rest_is_made_up_for(runs, monkeypatch, tmp_path, error):
    fail_at(3, monkeypatch, error)
    with pytest.raises(type(error)):
        run_experiment("tiny", seeds=2, out=tmp_path)
    kept = json.loads((tmp_path / "tiny.json").read_text())["runs"]
    assert {(run["case"], run["seed"]) for run in kept} >= {("a", 0), ("b", 0)}
    runs.clear()
    result = run_experiment("tiny", seeds=2, out=tmp_path)
    assert len(runs) == 4 - len(kept) and len(result["runs"]) == 4
    assert all(run in result["runs"] for run in kept)


def test_the_stop_button_ends_the_runs_that_wait_too(runs, monkeypatch, tmp_path):
    fail_at(1, monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_experiment("tiny", seeds=20, out=tmp_path)
    assert len(runs) < 20  # of 39; one may have begun


def test_the_file_is_written_after_each_run(runs, monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(experiments, "write_json", lambda path, result: written.append((path, len(result["runs"]))))
    run_experiment("tiny", seeds=2, out=tmp_path)
    assert written == [(tmp_path / "tiny.json", count) for count in (1, 2, 3, 4)]


def test_a_file_of_another_profile_is_refused_and_stays(runs, tmp_path):
    run_experiment("tiny", seeds=1, out=tmp_path)
    before = (tmp_path / "tiny.json").read_bytes()
    runs.clear()
    with pytest.raises(ValueError, match=rf"^{tmp_path}/tiny.json holds runs of profile='reduced', not 'smoke'"):
        run_experiment("tiny", "smoke", seeds=1, out=tmp_path)
    assert runs == [] and (tmp_path / "tiny.json").read_bytes() == before


def test_a_damaged_file_is_named_and_stays(runs, tmp_path):
    (tmp_path / "tiny.json").write_text('{"profile": "redu')
    with pytest.raises(ValueError, match=rf"^{tmp_path}/tiny.json is damaged"):
        run_experiment("tiny", seeds=1, out=tmp_path)
    assert runs == [] and (tmp_path / "tiny.json").read_text() == '{"profile": "redu'


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "nonsense"}, r"^name='nonsense' is unknown; there are recipes"),
        ({"profile": "nonsense"}, r"^profile='nonsense' is unknown"),
        ({"seeds": 0}, r"^seeds=0 must be"),
        ({"seeds": 2.5}, r"^seeds=2.5 must be"),
        ({"jobs": 0}, r"^jobs=0 must be"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_bad_argument_is_named_before_anything_is_run(runs, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        run_experiment(**{"name": "tiny", "out": tmp_path, **arguments})
    assert runs == [] and list(tmp_path.iterdir()) == []


def test_without_fashion_mnist_there_is_no_experiment_and_no_file(runs, monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "load_data", real_load_data)
    with pytest.raises(DataError):
        run_experiment("tiny", root=tmp_path / "data", out=tmp_path / "results")
    assert runs == [] and not (tmp_path / "results").exists()


# ---- device and precision


def change_file(path, **changes):
    """Write `changes` into the file `path` of results, None taking a key out, and return what it then holds."""
    result = {key: value for key, value in {**json.loads(path.read_text()), **changes}.items() if value is not None}
    path.write_text(json.dumps(result))
    return path.read_bytes()


def test_device_and_precision_reach_the_training_and_the_file(runs, monkeypatch, tmp_path):
    configs, counting_train = [], experiments.train

    def spying_train(model, data, config, **options):
        configs.append(config)
        return counting_train(model, data, config, **options)

    monkeypatch.setattr(experiments, "train", spying_train)
    result = run_experiment("tiny", seeds=1, out=tmp_path, device="cpu", precision="bf16")
    assert [(config.device, config.precision) for config in configs] == [("cpu", "bf16")] * 2
    assert (result["device"], result["precision"]) == ("cpu", "bf16")


@pytest.mark.parametrize("recorded", ["fp32", None], ids=["written", "from before it was written"])
def test_a_file_of_another_precision_is_refused_and_stays(runs, tmp_path, recorded):
    run_experiment("tiny", seeds=1, out=tmp_path)
    before = change_file(tmp_path / "tiny.json", precision=recorded)
    runs.clear()
    with pytest.raises(ValueError, match=rf"^{tmp_path}/tiny.json holds runs of precision='fp32', not 'bf16'"):
        run_experiment("tiny", seeds=2, out=tmp_path, precision="bf16")
    assert runs == [] and (tmp_path / "tiny.json").read_bytes() == before
    run_experiment("tiny", seeds=2, out=tmp_path)
    assert runs == ALL_OF_TWO_SEEDS[2:]


def test_a_file_of_another_device_is_refused_and_stays(runs, tmp_path):
    run_experiment("tiny", seeds=1, out=tmp_path)
    before = change_file(tmp_path / "tiny.json", device="cuda")
    runs.clear()
    with pytest.raises(ValueError, match=rf"^{tmp_path}/tiny.json holds runs of device='cuda', not 'cpu'"):
        run_experiment("tiny", seeds=2, out=tmp_path)
    assert runs == [] and (tmp_path / "tiny.json").read_bytes() == before


@pytest.mark.parametrize("bad", [{"precision": "fp8"}, {"device": "cuda:97"}], ids=str)
def test_a_precision_or_device_that_there_is_not_is_named(runs, tmp_path, bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=rf"^{name}='{value}' "):
        run_experiment("tiny", out=tmp_path, **bad)
    assert runs == [] and list(tmp_path.iterdir()) == []


# ---- what each experiment builds

FOUND = {"lr": 0.01, "batch_size": 16, "init": "kaiming", "optimizer": "momentum", "schedule": "constant"}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_can_be_built(monkeypatch, name):
    """Names of cases are told apart by, and each has a configuration and a network."""
    monkeypatch.setattr(experiments, "best_settings", lambda name, folder: FOUND)
    names = [case["case"] for case in EXPERIMENTS[name]]
    assert len(set(names)) == len(names)
    for case in EXPERIMENTS[name]:
        config = experiments._config("reduced", case, seed=3)
        model = experiments.build(case, config)
        experiments._change_start(model, case.get("change"))
        recipe, init = ("search", FOUND["init"]) if "best_of" in case else (case.get("recipe", "alive"), config.init)
        assert (config.recipe, config.seed, config.init) == (recipe, 3, case.get("init", init))
        assert model.input_size == config.size
        assert case.get("measure") in (None, *experiments.MEASURES)


@pytest.mark.parametrize("case", EXPERIMENTS["family"], ids=lambda case: case["case"])
def test_a_case_with_a_family_is_that_member_with_the_start_of_the_recipe(case):
    config = make_config("reduced", "adamw_alive")
    torch.manual_seed(0)
    ours = experiments.build(case, config).state_dict()
    torch.manual_seed(0)
    member = nin_family(case["family"], init="alive").state_dict()
    assert ours.keys() == member.keys() and all(torch.equal(ours[name], member[name]) for name in ours)


def test_the_options_of_a_case_come_before_those_of_its_configuration():
    model = experiments.build({"model": {"num_pointwise": 0, "input_size": 131}}, make_config("reduced", "adamw_alive"))
    assert model.input_size == 131 and not any(isinstance(layer, nn.Conv2d) for layer in model.block1[1:])


# ---- the settings that a search found


def settings(**changes):
    return {**FOUND, **changes}


def test_momentum_is_sgd_with_nine_tenths_of_it():
    config = searched_config("reduced", settings(optimizer="momentum"), seed=7)
    assert (config.optimizer, config.momentum, config.seed) == ("sgd", 0.9, 7)
    assert (config.lr, config.init, config.schedule, config.recipe) == (0.01, "kaiming", "constant", "search")
    alive = make_config("reduced", "adamw_alive")
    assert (config.size, config.mean, config.std) == (alive.size, alive.mean, alive.std)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_other_optimizers_have_no_momentum(optimizer):
    config = searched_config("reduced", settings(optimizer=optimizer))
    assert (config.optimizer, config.momentum) == (optimizer, 0.0)


@pytest.mark.parametrize("profile", ["reduced", "study", "quick", "smoke"])
def test_each_batch_size_sees_as_many_images(profile):
    base = make_config(profile)
    for batch_size in (16, 32, 64, 128):
        config = searched_config(profile, settings(batch_size=batch_size))
        assert config.batch_size == batch_size
        assert config.num_steps * batch_size == base.num_steps * base.batch_size


def test_the_settings_are_not_changed():
    found = settings(optimizer="momentum")
    searched_config("reduced", found)
    assert found == FOUND


def test_a_profile_that_counts_epochs_is_refused_for_a_search():
    with pytest.raises(ValueError, match=r"^profile='full' counts epochs.*'reduced'$"):
        searched_config("full", FOUND)


def test_the_best_settings_are_those_of_the_highest_accuracy_on_held_out_images(monkeypatch):
    scores = {0.1: 0.5, 0.2: 0.9, 0.3: 0.7}
    trials = [{"settings": {"lr": lr}, "validation_accuracy": score} for lr, score in scores.items()]
    monkeypatch.setattr(experiments, "load_result", lambda name, folder: {"mine": {"runs": trials}}[name])
    assert best_settings("mine") == {"lr": 0.2}


def test_a_case_can_take_what_a_search_found(monkeypatch, runs, tmp_path):
    monkeypatch.setattr(experiments, "best_settings", lambda name, folder: {"mine": settings(batch_size=8)}[name])
    monkeypatch.setitem(EXPERIMENTS, "tiny", [{"case": "best", "best_of": "mine"}])
    result = run_experiment("tiny", seeds=2, out=tmp_path)
    assert runs == [("search", 0), ("search", 1)]
    assert [run["case"] for run in result["runs"]] == ["best", "best"]


# ---- what is measured of a trained network


@pytest.fixture
def few(monkeypatch, digits):
    """Make eight digits the test images of the experiments."""
    data = replace(digits, test=digits.test[:8])
    monkeypatch.setattr(experiments, "DATA", data, raising=False)
    return data


def reduced_network(**options):
    config = make_config("reduced", "adamw_alive", size=67, precision="fp32", device="cpu")
    return NiN(init="alive", input_size=67, **options).eval(), config


def test_shifts_are_measured_on_the_prepared_test_images_with_black_coming_in(monkeypatch, few):
    fills = []

    def spying(model, x, labels, shifts, fill=0.0):
        fills.append(fill)
        return shift_accuracy(model, x, labels, shifts, fill)

    monkeypatch.setattr(experiments, "shift_accuracy", spying)
    model, config = reduced_network()
    found = experiments._measure_shifts(model, config, "fp32")
    x = preprocess(few.test.images, 67, config.mean, config.std)
    black = preprocess(torch.zeros_like(few.test.images[:1]), 67, config.mean, config.std)
    expected = shift_accuracy(model, x, few.test.labels, experiments.SHIFTS, black[0, 0, 0, 0].item())
    assert found["shifts"] == {str(shift): share for shift, share in expected.items()}
    assert fills[0] == pytest.approx(black[0, 0, 0, 0].item())
    assert found["shifts"]["0"] == evaluate(model, few, config)["test_accuracy"]
    assert all(0 <= share <= 1 for share in found["shifts"].values())


def test_other_sizes_are_measured_where_the_head_takes_them(few):
    model, config = reduced_network()
    found = experiments._measure_shifts(model, config, "fp32")
    assert list(found["sizes"]) == ["67", "99", "131", "163"]
    assert found["sizes"]["67"] == found["shifts"]["0"]
    assert found["sizes"]["131"] == evaluate(model, few, replace(config, size=131))["test_accuracy"]
    model, config = reduced_network(head="fc")
    assert experiments._measure_shifts(model, config, "fp32").keys() == {"shifts"}


def test_maps_are_those_behind_the_last_convolution_stage(few):
    model, config = reduced_network(reduction=(8,))
    (key, maps), *others = experiments._measure_maps(model, config, "fp32").items()
    assert key == "maps" and others == []
    names = [f"{block}.{layer}" for block in ("block3", "reduction1", "block4") for layer in (1, 3, 5)]
    assert [state["name"] for state in maps] == names
    assert [state["channels"] for state in maps] == [384] * 3 + [8] * 3 + [10] * 3
    states = map_states(model, preprocess(few.test.images, 67, config.mean, config.std))
    assert [(state["live"], state["open"], state["rank"]) for state in maps] == [
        (state.live, state.open, state.rank) for state in states if not state.name.startswith(("block1", "block2"))
    ]


def test_what_is_measured_is_in_the_file(runs, monkeypatch, few, tmp_path):
    monkeypatch.setattr(experiments, "load_data", lambda name, root=None: few)
    monkeypatch.setattr(experiments, "SHIFTS", (0, 4))
    cases = [{"case": "maps", "measure": "maps"}, {"case": "shifts", "measure": "shifts"}]
    monkeypatch.setitem(EXPERIMENTS, "tiny", cases)
    run_experiment("tiny", seeds=1, out=tmp_path)
    maps, shifts = json.loads((tmp_path / "tiny.json").read_text())["runs"]
    assert maps.keys() == {*RUN_KEYS, "maps"} and shifts.keys() == {*RUN_KEYS, "shifts", "sizes"}
    assert list(shifts["shifts"]) == ["0", "4"] and shifts["shifts"]["0"] == shifts["test_accuracy"]


# ---- resources


@pytest.fixture
def measured(monkeypatch):
    """Put two small networks in the place of the four, and return the list of what was measured."""
    calls = []

    def measured_memory(model, input_shape, training=False, device="cpu"):
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        calls.append((model.out_features, input_shape, training, device))
        return 1000 + len(calls)

    monkeypatch.setattr(experiments, "NETWORKS", {"one": lambda: nn.Linear(2, 1), "two": lambda: nn.Linear(2, 2)})
    monkeypatch.setattr(experiments, "measured_memory", measured_memory)
    return calls


def test_each_network_is_measured_in_training_and_prediction(measured, tmp_path):
    result = run_resources(2, out=tmp_path, batch_size=8)
    once = [(features, (8, 1, 224, 224), training, "cpu") for features in (1, 2) for training in (True, False)]
    assert measured == once * 2
    assert json.loads((tmp_path / "resources.json").read_text()) == result
    assert result["runs"][:3] == [
        {"network": "one", "pass": "training", "repeat": 0, "bytes": 1001},
        {"network": "one", "pass": "prediction", "repeat": 0, "bytes": 1002},
        {"network": "two", "pass": "training", "repeat": 0, "bytes": 1003},
    ]
    told = ("experiment", "data", "profile", "precision", "device", "threads")
    assert [result[key] for key in told] == [
        "resources", "random numbers", "batch of 8", "fp32", "cpu", torch.get_num_threads(),
    ]  # fmt: skip


def test_what_was_measured_is_not_measured_again(measured, tmp_path):
    first = run_resources(1, out=tmp_path)
    assert len(measured) == 4 and measured[0][1] == (32, 1, 224, 224)
    second = run_resources(2, out=tmp_path)
    assert len(measured) == 8 and second["runs"][:4] == first["runs"]
    assert {(run["network"], run["pass"], run["repeat"]) for run in second["runs"][4:]} == {
        (network, kind, 1) for network in ("one", "two") for kind in ("training", "prediction")
    }
    assert run_resources(2, out=tmp_path) == second and len(measured) == 8


def test_what_was_measured_before_an_error_is_kept(measured, monkeypatch, tmp_path):
    working = experiments.measured_memory

    def failing(*arguments):
        if len(measured) == 3:
            raise MemoryError
        return working(*arguments)

    monkeypatch.setattr(experiments, "measured_memory", failing)
    with pytest.raises(MemoryError):
        run_resources(1, out=tmp_path)
    monkeypatch.setattr(experiments, "measured_memory", working)
    assert [run["bytes"] for run in run_resources(1, out=tmp_path)["runs"]] == [1001, 1002, 1003, 1004]


def test_resources_of_another_batch_are_refused_and_stay(measured, tmp_path):
    run_resources(1, out=tmp_path, batch_size=8)
    before = (tmp_path / "resources.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds runs of profile='batch of 8', not 'batch of 16'"):
        run_resources(2, out=tmp_path, batch_size=16)
    assert len(measured) == 4 and (tmp_path / "resources.json").read_bytes() == before


@pytest.mark.parametrize("bad", [{"repeats": 0}, {"batch_size": 0}, {"batch_size": 2.5}], ids=str)
def test_a_bad_number_of_repeats_or_images_is_named(measured, tmp_path, bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=rf"^{name}={value} must be"):
        run_resources(out=tmp_path, **bad)
    assert measured == [] and list(tmp_path.iterdir()) == []


# ---- what an experiment changes in the start


def started(change, images):
    model = NiN(init="alive", input_size=67).eval()
    experiments._change_start(model, change)
    with torch.no_grad():
        return model(images), model.block4


@pytest.mark.parametrize("k", [0, 2, 8])
def test_killed_classes_are_dead_and_the_others_alive(random_images, k):
    logits, _ = started(k, random_images)
    assert logits.any(dim=0).tolist() == [False] * k + [True] * (10 - k)


def test_no_change_leaves_the_start_alone():
    model = NiN(init="alive")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    experiments._change_start(model, None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_without_the_lift_the_first_bias_is_0_and_the_copies_stay(random_images):
    _, block = started("no lift", random_images)
    assert not block[0].bias.any()
    torch.testing.assert_close(block[2].weight.flatten(1), torch.eye(10))


def test_without_the_copies_the_lift_stays_and_the_1x1_layers_mix(random_images):
    _, block = started("no copies", random_images)
    assert (block[0].bias == 4).all()
    for layer in (block[2], block[4]):
        assert layer.weight.flatten(1).abs().sum(dim=1).min() > 1 and (layer.weight != 0).all()


# ---- recorded results


def test_a_recorded_result_of_the_checkout_is_found():
    recorded = sorted((Path(experiments.__file__).parent.parent / "results").glob("*.json"))
    if not recorded:
        pytest.skip("needs a checkout: the package is installed without one")
    for path in recorded:
        assert load_result(path.stem).keys() == json.loads(path.read_text()).keys()


def test_an_installed_result_is_found_where_there_is_no_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "__file__", str(tmp_path / "elsewhere" / "experiments.py"))
    monkeypatch.setattr(experiments, "files", lambda package: tmp_path / package)
    (tmp_path / "nin_helpers" / "results").mkdir(parents=True)
    (tmp_path / "nin_helpers" / "results" / "mine.json").write_text('{"runs": [1]}')
    assert load_result("mine") == {"runs": [1]}


def test_a_missing_result_is_named():
    with pytest.raises(FileNotFoundError, match=r"^there is no result 'nonsense': .*nonsense.json is missing$"):
        load_result("nonsense")


def run_with(case, loss, accuracy, dead, seconds=1.0):
    figures = {"train_loss": loss, "test_accuracy": accuracy, "dead_classes": dead, "training_seconds": seconds}
    return {"case": case, **figures}


def test_the_summary_counts_and_takes_medians_per_case(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", CASES)
    runs = [
        run_with("b", 0.5, 0.8, 0, seconds=7.0),
        run_with("a", 2.3026, 0.1, 10),  # ln 10
        run_with("a", 2.32, 0.12, 2),  # 0.8 % above
        run_with("a", 2.33, 0.2, 1, seconds=2.0),  # 1.2 % above
        run_with("a", 2.28, 0.5, 0, seconds=9.0),  # 1 % and a little below
    ]
    figures = summarise({"experiment": "tiny", "runs": runs})
    assert list(figures) == ["a", "b"]
    assert figures["a"]["runs"] == 4 and figures["a"]["stuck"] == 3 and figures["a"]["dead_classes"] == 13
    assert figures["a"]["median_accuracy"] == pytest.approx(0.16)
    assert figures["a"]["scores"] == [0.1, 0.12, 0.2, 0.5]
    assert (figures["a"]["lowest"], figures["a"]["highest"]) == (0.1, 0.5)
    assert figures["a"]["median_loss"] == pytest.approx((2.3026 + 2.32) / 2)
    assert figures["a"]["median_seconds"] == 1.5
    assert figures["b"] == {
        "runs": 1, "stuck": 0, "dead_classes": 0, "scores": [0.8], "median_accuracy": 0.8, "lowest": 0.8,
        "highest": 0.8, "median_loss": 0.5, "median_seconds": 7.0,
    }  # fmt: skip


def test_a_case_without_a_run_is_named(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", CASES)
    with pytest.raises(ValueError, match=r"^the result of 'tiny' has no run of 'b'$"):
        summarise({"experiment": "tiny", "runs": [run_with("a", 0.5, 0.8, 0)]})


# ---- tables, and the time of a step


def made_result(name, profile, runs):
    result = {
        "experiment": name,
        "profile": profile,
        "command": "python -m nin_helpers experiment",
        "date": "2026-01-01",
    }
    result |= {"device_name": "a chip", "versions": {"torch": "2.99"}, "precision": "bf16"}
    keys = ("case", "seed", "train_loss", "dead_classes", "test_accuracy")
    rows = [dict(zip(keys, run)) | {"test_images": 5000, "training_seconds": 1.0} for run in runs]
    return result | {"runs": rows}


def test_a_report_says_what_was_measured_and_how(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "two", [{"case": "a"}, {"case": "longer name"}])
    runs = [("a", seed, 0.5, 0, score) for seed, score in enumerate((0.7, 0.9, 0.8))]
    result = made_result("two", "study", [*runs, ("longer name", 0, 0.5, 0, 0.5)])
    text = report(result, {"cost": {"a": "12", "longer name": "3"}})
    lines = text.splitlines()
    assert lines[0] == result["command"] and lines[1] == "2026-01-01, a chip, torch 2.99, bf16, seeds: 1 or 3"
    assert "131 px, 300 steps of 64; accuracy on 5,000 test images; no run got stuck, no class died" in lines[2]
    assert [line.split() for line in lines[4:]] == [
        ["cost", "accuracy:", "median", "(range)"],
        ["a", "12", "0.800", "(0.700", "–", "0.900)"],
        ["longer", "name", "3", "0.500", "(0.500", "–", "0.500)"],
    ]
    assert len({len(line) for line in lines[4:]}) == 1


def test_a_report_counts_what_failed(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "one", [{"case": "a"}])
    text = report(made_result("one", "reduced", [("a", 0, 2.3026, 3, 0.1), ("a", 1, 0.5, 0, 0.8)]))
    assert text.splitlines()[-1].split()[:7] == ["a", "1", "of", "2", "3", "of", "20"] and "no run" not in text


def test_steps_are_timed_in_turns(monkeypatch, tmp_path):
    monkeypatch.setitem(EXPERIMENTS, "tiny", CASES)
    monkeypatch.setitem(PROFILES, "study", TINY)
    monkeypatch.setattr(experiments, "TIMED", ("tiny",))
    result = experiments.run_speed(2, out=tmp_path)
    assert [(run["case"], run["round"]) for run in result["runs"]] == [
        ("tiny: a", 0), ("tiny: b", 0), ("tiny: a", 1), ("tiny: b", 1),
    ]  # fmt: skip
    assert all(run["seconds"] > 0 for run in result["runs"])
    assert json.loads((tmp_path / "speed.json").read_text()) == result
    with pytest.raises(ValueError, match=r"^rounds=0 must be"):
        experiments.run_speed(0, out=tmp_path)


# the first steps


def test_first_steps_tell_the_states_of_one_training(digits, monkeypatch):
    monkeypatch.setattr(experiments, "FIRST_STEPS", (0, 1, 3))
    states = list(first_steps(digits, "alive", 0.01))
    assert [state["step"] for state in states] == [0, 1, 3]
    assert all(len(state["spread"]) == 12 and 0 < state["live"] <= 1 and state["gradient"] > 0 for state in states)
    config = make_config("reduced", "sgd_default", init="alive")
    torch.manual_seed(0)
    x = preprocess(digits.validation.images[:64], config.size, 0.286, 0.353)
    logits = NiN(**config.model_options()).eval()(x)
    loss = nn.functional.cross_entropy(logits, digits.validation.labels[:64]).item()
    assert states[0]["loss"] == pytest.approx(loss, rel=1e-4)
    assert states[0]["spread"]["block4.5"] == pytest.approx(logits.std(dim=0).square().mean().sqrt().item(), rel=2)


def test_first_steps_that_diverge_are_none(digits, monkeypatch):
    monkeypatch.setattr(experiments, "FIRST_STEPS", (0, 4))
    last = list(first_steps(digits, "kaiming", 1e6))[-1]
    assert last["loss"] is None or last["live"] < 0.5  # not finite, or all dead


def test_first_steps_are_recorded_once(digits, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(experiments, "load_data", lambda name, root: digits)
    monkeypatch.setattr(experiments, "INITS", ("alive", "xavier"))
    monkeypatch.setattr(experiments, "FIRST_RATES", (0.1,))
    monkeypatch.setattr(experiments, "first_steps", lambda data, *case: calls.append(case) or iter([{"step": 0}]))
    for _ in range(2):
        result = run_first_steps(out=tmp_path)
    assert calls == [("alive", 0.1), ("xavier", 0.1)]
    assert json.loads((tmp_path / "first_steps.json").read_text()) == result
    assert [run["points"] for run in result["runs"]] == [[{"step": 0}]] * 2


WORKER = """
import multiprocessing, time
from nin_helpers import experiments

def work():
    experiments.load_data = lambda *_: None
    experiments._start_worker(None)
    print("working", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
"""


def test_a_worker_ends_with_the_process_that_started_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WORKER)
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout.readline() == "working\n"
    process.kill()  # it waits for its worker
    rest, _ = process.communicate(timeout=60)  # the worker holds the other end of the pipe as long as it lives
    assert rest == "" and process.returncode != 0
