"""Experiments: what a file of results holds, and that a run is never repeated nor lost.

Each run here is two steps on the digits, in this process: a patch of a test does not reach into a process of a pool.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from nin_helpers import experiments
from nin_helpers.datasets import DataError
from nin_helpers.experiments import EXPERIMENTS, load_result, run_experiment, summarise
from nin_helpers.nin import NiN
from nin_helpers.training import PROFILES, make_config

RUN_KEYS = {
    "case", "seed", "train_loss", "warned", "dead_classes", "test_accuracy", "test_images", "training_seconds",
}  # fmt: skip
CASES = [
    {"case": "a", "recipe": "alive"},
    {"case": "b", "recipe": "sgd_xavier", "model": {"batch_norm": True}},
]
TINY = {"size": 67, "batch_size": 4, "num_steps": 2, "num_points": 1, "test_limit": 8, "validation_limit": 4}
real_load_data, real_train = experiments.load_data, experiments.train


class InThisProcess(ThreadPoolExecutor):
    def __init__(self, jobs, context, **options):
        super().__init__(jobs, **options)


@pytest.fixture
def runs(monkeypatch, digits):
    """Make experiment "tiny" small, and return the list of (recipe, seed) that were trained."""
    trained, threads = [], torch.get_num_threads()

    def counting_train(model, data, config, **options):
        trained.append((config.recipe, config.seed))
        return real_train(model, data, config, **options)

    monkeypatch.setitem(EXPERIMENTS, "tiny", CASES)
    monkeypatch.setitem(PROFILES, "reduced", TINY)
    monkeypatch.setattr(experiments, "load_data", lambda name, root=None: digits)
    monkeypatch.setattr(experiments, "train", counting_train)
    monkeypatch.setattr(experiments, "ProcessPoolExecutor", InThisProcess)
    yield trained
    torch.set_num_threads(threads)


ALL_OF_TWO_SEEDS = [("alive", 0), ("sgd_xavier", 0), ("alive", 1), ("sgd_xavier", 1)]


def test_each_case_is_run_with_each_seed_and_the_file_holds_the_result(runs, tmp_path):
    result = run_experiment("tiny", seeds=2, out=tmp_path)
    assert runs == ALL_OF_TWO_SEEDS
    assert [(run["case"], run["seed"]) for run in result["runs"]] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert json.loads((tmp_path / "tiny.json").read_text()) == result
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]


def test_a_result_says_how_it_was_made_and_each_run_what_came_out(runs, tmp_path):
    result = run_experiment("tiny", seeds=1, out=tmp_path)
    assert (result["experiment"], result["profile"], result["device"], result["threads"]) == (
        "tiny",
        "reduced",
        "cpu",
        1,
    )
    assert result["versions"]["torch"] == torch.__version__
    for run in result["runs"]:
        assert run.keys() == RUN_KEYS
        assert 0 <= run["test_accuracy"] <= 1 and run["test_images"] == 8 and run["warned"] is False


def test_a_run_is_that_of_train_with_the_same_seed(runs, tmp_path, digits):
    (run,) = [
        run for run in run_experiment("tiny", seeds=2, out=tmp_path)["runs"] if (run["case"], run["seed"]) == ("b", 1)
    ]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    config = make_config("reduced", "sgd_xavier", seed=1, precision="fp32", device="cpu")
    history = real_train(NiN(init="xavier", batch_norm=True, input_size=67), digits, config, on_point=lambda _: None)
    assert run["train_loss"] == history["points"][-1]["train_loss"]
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


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_can_be_built(name):
    """Names of cases are told apart by, and each has a configuration and a network."""
    names = [case["case"] for case in EXPERIMENTS[name]]
    assert len(set(names)) == len(names)
    for case in EXPERIMENTS[name]:
        config = experiments._config("reduced", case, seed=3)
        model = NiN(init=config.init, input_size=config.size, **case.get("model", {}))
        experiments._change_start(model.block4, case.get("change"))
        assert (config.recipe, config.seed, config.init) == (case["recipe"], 3, case.get("init", config.init))


# ---- what an experiment changes in the start


def started(change, images):
    model = NiN(init="alive", input_size=67).eval()
    experiments._change_start(model.block4, change)
    with torch.no_grad():
        return model(images), model.block4


@pytest.mark.parametrize("k", [0, 2, 8])
def test_killed_classes_are_dead_and_the_others_alive(random_images, k):
    logits, _ = started(k, random_images)
    assert logits.any(dim=0).tolist() == [False] * k + [True] * (10 - k)


def test_no_change_leaves_the_start_alone():
    model = NiN(init="alive")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    experiments._change_start(model.block4, None)
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
    monkeypatch.setattr(experiments.resources, "files", lambda package: tmp_path / package)
    (tmp_path / "nin_helpers" / "results").mkdir(parents=True)
    (tmp_path / "nin_helpers" / "results" / "mine.json").write_text('{"runs": [1]}')
    assert load_result("mine") == {"runs": [1]}


def test_a_missing_result_is_named():
    with pytest.raises(FileNotFoundError, match=r"^there is no result 'nonsense': .*nonsense.json is missing$"):
        load_result("nonsense")


def run_with(case, loss, accuracy, dead):
    return {"case": case, "train_loss": loss, "test_accuracy": accuracy, "dead_classes": dead}


def test_the_summary_counts_and_takes_medians_per_case(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", CASES)
    runs = [
        run_with("b", 0.5, 0.8, 0),
        run_with("a", 2.3026, 0.1, 10),  # ln 10
        run_with("a", 2.32, 0.12, 2),  # 0.8 % above
        run_with("a", 2.33, 0.2, 1),  # 1.2 % above
        run_with("a", 2.28, 0.5, 0),  # 1 % and a little below
    ]
    figures = summarise({"experiment": "tiny", "runs": runs})
    assert list(figures) == ["a", "b"]
    assert figures["a"]["runs"] == 4 and figures["a"]["stuck"] == 3 and figures["a"]["dead_classes"] == 13
    assert figures["a"]["median_accuracy"] == pytest.approx(0.16)
    assert (figures["a"]["lowest"], figures["a"]["highest"]) == (0.1, 0.5)
    assert figures["a"]["median_loss"] == pytest.approx((2.3026 + 2.32) / 2)
    assert figures["b"] == {
        "runs": 1, "stuck": 0, "dead_classes": 0, "median_accuracy": 0.8, "lowest": 0.8, "highest": 0.8,
        "median_loss": 0.5,
    }  # fmt: skip
