"""Several processes train together: two on this CPU end where one does, and only the first one writes."""

import glob
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from processes import finish, start, together
from tiny import equal_states, quiet, state_of, tiny_config, tiny_model
from torch.optim.optimizer import register_optimizer_step_post_hook

from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN
from nin_helpers.training import ProcessGroup, end_process_group, evaluate, make_config, train

CPU = {"device": "cpu", "precision": "fp32"}


def gloo_threads():
    return sum("gloo" in open(path).read() for path in glob.glob("/proc/self/task/*/comm"))


def save(folder, name, states, history):
    torch.save((states, history), folder / f"{name}-{os.environ.get('RANK', 0)}")


def saved(folder, *names):
    return zip(*(torch.load(folder / name, weights_only=False) for name in names))


def train_an_epoch(folder, name):
    """One epoch of 11 steps, in uneven shares: 13 and 12 of 25; no dropout, whose masks differ between processes."""
    digits = load_data("digits")
    config = make_config(
        "smoke", batch_size=25, num_epochs=1, num_evaluations=3, test_limit=100, validation_limit=50, optimizer="sgd",
        lr=0.001, schedule="constant", **CPU,
    )  # fmt: skip
    torch.manual_seed(int(os.environ.get("RANK", 0)))  # the first process's weights are everybody's
    model, first, answered = NiN(init="alive", input_size=67, dropout=0.0), {}, []
    model.register_forward_hook(lambda model, x, _: None if model.training else answered.append(len(x[0])))
    register_optimizer_step_post_hook(lambda *_: first or first.update(state_of(model)))
    history = train(model, replace(digits, train=digits.train[:270]), config, quiet) | {"answered": sum(answered)}
    before = gloo_threads()
    end_process_group()
    save(folder, name, [first, model.state_dict()], history | {"threads": [before, gloo_threads()]})


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The weights, after a step and after the epoch, of one process alone and of two together, and the histories."""
    folder = tmp_path_factory.mktemp("processes")
    finish(start(train_an_epoch, folder, "alone"))
    together(train_an_epoch, folder, "two")
    return list(saved(folder, "alone-0", "two-0", "two-1"))


@pytest.mark.parametrize(("moment", "tolerance"), [(0, 1e-6), (1, 1e-3)], ids=["after a step", "after an epoch"])
def test_two_processes_end_where_one_does(both, moment, tolerance):
    """To rounding after one step; an epoch makes more of it: 0.1 % of the weights' norm."""
    alone, *two = (states[moment] for states in both[0])
    assert all(torch.equal(two[0][name], two[1][name]) for name in alone)
    alone, together = (torch.cat([tensor.flatten() for tensor in state.values()]) for state in (alone, two[0]))
    assert (together - alone).norm() <= tolerance * alone.norm()


def test_the_history_speaks_of_all_processes_which_share_the_held_out_and_the_test_images(both):
    _, (alone, *two) = both
    assert len(two) == 2 and len(alone["evaluations"]) == 3
    assert [history["processes"] for history in (alone, *two)] == [1, 2, 2]
    for history in two:
        for mine, theirs in zip(history["evaluations"], alone["evaluations"]):
            assert mine["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-3)
            assert mine["train_accuracy"] == pytest.approx(theirs["train_accuracy"], abs=0.01)
            assert mine["validation_accuracy"] == pytest.approx(theirs["validation_accuracy"], abs=0.021)
        assert (history["test_images"], history["num_steps"]) == (alone["test_images"], alone["num_steps"])
    assert [history["answered"] for history in (alone, *two)] == [3 * 50 + 100, 125, 125]


@pytest.mark.skipif(sys.platform != "linux", reason="where threads have names to read")
def test_no_thread_outlives_the_team(both):
    """One that lets go of a tensor while Python ends aborts its process: rarely, and more often on a busy machine."""
    _, (alone, *two) = both
    assert alone["threads"] == [0, 0]
    assert all(before > 0 and after == 0 for before, after in (history["threads"] for history in two))


def train_three_epochs(checkpoints, folder, name, stop_at=None):
    """Three epochs of four steps, with dropout and batch normalisation; the stop button after step `stop_at`."""
    digits = load_data("digits")
    data = replace(digits, train=digits.train[:64])
    sizes = {"batch_size": 16, "num_epochs": 3, "num_evaluations": 12, "test_limit": 99, "validation_limit": 9}
    config = make_config("smoke", "modern", **sizes, **CPU)
    torch.manual_seed(0)
    model = NiN(**config.model_options())

    def stop(history):
        if history["evaluations"][-1]["step"] == stop_at:
            raise KeyboardInterrupt

    history = train(model, data, config, stop, checkpoints=checkpoints)
    save(folder, name, model.state_dict(), history | {"evaluated": evaluate(model, data, config)})
    end_process_group()


def test_two_processes_go_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    together(train_three_epochs, tmp_path / "1", tmp_path, "whole")
    together(train_three_epochs, tmp_path / "2", tmp_path, "half", 6)
    together(train_three_epochs, tmp_path / "2", tmp_path, "resumed")
    (whole, half, *resumed), (*_, one, other) = saved(tmp_path, "whole-0", "half-0", "resumed-0", "resumed-1")
    assert not equal_states(whole, half) and all(equal_states(whole, state) for state in resumed)
    assert one["test_accuracy"] == other["test_accuracy"] == one["evaluated"]["test_accuracy"]


def test_checkpoints_by_the_clock_are_agreed_upon():
    group = ProcessGroup("cpu")
    assert group.any(7, due=True) and not group.any(100, due=False)
    group.size, asked = 2, []
    group.sum = lambda tensor: asked.append(tensor.item()) or tensor + 1  # the other one says yes
    assert not group.any(7, due=True) and not asked
    assert group.any(100, due=False) and asked == [0.0]


def train_compiled():
    digits = load_data("digits")
    warnings.simplefilter("error", UserWarning)
    train(tiny_model(), replace(digits, train=digits.train[:70]), tiny_config(compile=True, num_steps=2), quiet)
    end_process_group()


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a compiler on a CPU")
def test_two_processes_compile_whole_shares():
    """The last one, 3 of 6 images, is too small to be worth it and goes plain."""
    together(train_compiled)


def test_the_command_line_runs_under_torchrun_and_writes_once(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "nin_helpers"]
    command += ["train", "--profile", "smoke", "--dataset", "digits", "--device", "cpu", "--out", str(tmp_path / "run")]
    command += ["--epochs", "1", "--batch-size", "400"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, env=environment)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("test accuracy") == 1 and process.stdout.count("train, ") == 1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["history.json", "weights.safetensors"]


@pytest.mark.parametrize("count", [2, 5, 8])
def test_shards_are_disjoint_complete_and_weighted_by_their_size(count):
    groups = [ProcessGroup("cpu") for _ in range(2)]
    for rank, group in enumerate(groups):
        group.rank, group.size = rank, 2
    parts, weights = zip(*(group.shard(torch.arange(count)) for group in groups))
    assert sorted(torch.cat(parts).tolist()) == list(range(count))
    assert [weight * count / 2 for weight in weights] == [len(part) for part in parts]


@pytest.mark.parametrize(
    "count, batch_size, num_steps, smallest",
    [(100, 3, 10, 3), (100, 33, 4, 1), (100, 33, 3, None), (100, 32, 400, None), (2, 128, 1, 2)],
)
def test_a_batch_smaller_than_the_group_is_refused_before_the_first_step(count, batch_size, num_steps, smallest):
    """Four processes; a last batch counts if the run comes to it."""
    group = ProcessGroup("cpu")
    group.size = 4
    if smallest is None:
        return group.check(count, batch_size, num_steps)
    with pytest.raises(ValueError, match=rf"^batch_size={batch_size} leaves a batch of {smallest} of the {count} "):
        group.check(count, batch_size, num_steps)
