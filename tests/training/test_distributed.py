"""Several processes train together: two on this CPU end where one does, and only the first one writes."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from nin_helpers.training import ProcessGroup

# One epoch in uneven shares (13 and 12 of 25); no dropout, whose masks differ from process to process.
SCRIPT = """
import glob, json, os, sys, torch
torch.set_num_threads(1)
from torch.optim.optimizer import register_optimizer_step_post_hook
from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN
from nin_helpers.training import end_process_group, make_config, train
config = make_config("smoke", batch_size=25, num_epochs=1, num_evaluations=3, test_limit=100,
                     validation_limit=50, optimizer="sgd", lr=0.001, schedule="constant", device="cpu",
                     precision="fp32")
torch.manual_seed(int(os.environ.get("RANK", 0)))  # the first process's weights are everybody's
model = NiN(init="alive", input_size=67, dropout=0.0)
first = {}


def keep(optimizer, *_):
    if not first:
        first.update({name: tensor.clone() for name, tensor in model.state_dict().items()})


def gloo_threads():
    return sum("gloo" in open(path).read() for path in glob.glob("/proc/self/task/*/comm"))


answered = []
model.register_forward_hook(lambda model, x, _: None if model.training else answered.append(len(x[0])))
register_optimizer_step_post_hook(keep)
history = train(model, load_data("digits"), config, lambda history: None) | {"answered": sum(answered)}
name = f"{sys.argv[1]}-{os.environ.get('RANK', 0)}"
torch.save([first, model.state_dict()], f"{name}.pt")
before = gloo_threads()
end_process_group()
json.dump(history | {"threads": [before, gloo_threads()]}, open(f"{name}.json", "w"))
"""


def launch(*command):
    return run("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *command)


def run(*command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, encoding="utf-8", timeout=300, env=environment
    )
    assert process.returncode == 0, process.stderr
    return process


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The folder with the weights of one process alone and of two together, and the histories."""
    folder = tmp_path_factory.mktemp("processes")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    run(script, folder / "alone")
    launch(script, folder / "two")
    return folder, [json.loads((folder / f"{name}.json").read_text()) for name in ("alone-0", "two-0", "two-1")]


@pytest.mark.parametrize(("moment", "tolerance"), [(0, 1e-6), (1, 1e-3)], ids=["after a step", "after an epoch"])
def test_two_processes_end_where_one_does(both, moment, tolerance):
    """To rounding after one step; an epoch of 52 makes more of it: 0.1 % of the weights' norm."""
    folder, _ = both
    alone, *two = (
        torch.load(folder / f"{name}.pt", weights_only=True)[moment] for name in ("alone-0", "two-0", "two-1")
    )
    assert all(torch.equal(two[0][name], two[1][name]) for name in alone)
    alone, together = (torch.cat([tensor.flatten() for tensor in state.values()]) for state in (alone, two[0]))
    assert (together - alone).norm() <= tolerance * alone.norm()


def test_the_history_speaks_of_all_processes(both):
    _, (alone, *two) = both
    assert len(two) == 2 and len(alone["evaluations"]) == 3
    assert [history["processes"] for history in (alone, *two)] == [1, 2, 2]
    for history in two:
        for mine, theirs in zip(history["evaluations"], alone["evaluations"]):
            assert mine["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-3)
            assert mine["train_accuracy"] == pytest.approx(theirs["train_accuracy"], abs=0.01)
            assert mine["validation_accuracy"] == pytest.approx(theirs["validation_accuracy"], abs=0.021)
        assert (history["test_images"], history["num_steps"]) == (alone["test_images"], alone["num_steps"])


def test_the_processes_share_the_held_out_and_the_test_images(both):
    _, (alone, *two) = both
    assert alone["answered"] == 3 * 50 + 100
    assert [history["answered"] for history in two] == [125, 125]


@pytest.mark.skipif(sys.platform != "linux", reason="where threads have names to read")
def test_no_thread_outlives_the_team(both):
    """One that lets go of a tensor while Python ends aborts its process: rarely, and more often on a busy machine."""
    _, (alone, *two) = both
    assert alone["threads"] == [0, 0]
    for history in two:
        before, after = history["threads"]
        assert before > 0 and after == 0


# Three epochs of four steps, with dropout and batch normalisation; with a third argument the stop button after step 6.
RESUMED = """
import json, os, sys, torch
torch.set_num_threads(1)
from dataclasses import replace
from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN
from nin_helpers.training import end_process_group, evaluate, make_config, train
digits = load_data("digits")
data = replace(digits, train=digits.train[:64])
config = make_config("smoke", "modern", batch_size=16, num_epochs=3, num_evaluations=12, test_limit=99,
                     validation_limit=9,
                     device="cpu", precision="fp32")
torch.manual_seed(0)
model = NiN(**config.model_options())


def stop(history):
    if sys.argv[3:] and history["evaluations"][-1]["step"] == 6:
        raise KeyboardInterrupt


history = train(model, data, config, stop, checkpoints=sys.argv[1])
name = f"{sys.argv[2]}-{os.environ['RANK']}"
torch.save(model.state_dict(), f"{name}.pt")
json.dump(history | {"evaluated": evaluate(model, data, config)}, open(f"{name}.json", "w"))
end_process_group()
"""


def test_two_processes_go_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(RESUMED)
    launch(script, tmp_path / "whole", tmp_path / "whole")
    launch(script, tmp_path / "stopped", tmp_path / "half", "stop")
    launch(script, tmp_path / "stopped", tmp_path / "resumed")
    names = ["whole-0", "half-0", "resumed-0", "resumed-1"]
    whole, half, *resumed = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in names)
    assert any(not torch.equal(whole[name], half[name]) for name in whole)
    for state in resumed:
        assert all(torch.equal(whole[name], state[name]) for name in whole)
    histories = [json.loads((tmp_path / f"resumed-{rank}.json").read_text()) for rank in (0, 1)]
    assert [history["test_accuracy"] for history in histories] == [histories[0]["evaluated"]["test_accuracy"]] * 2


def test_checkpoints_by_the_clock_are_agreed_upon(monkeypatch):
    group = ProcessGroup("cpu")
    assert group.any(7, due=True) and not group.any(100, due=False)
    group.size, asked = 2, []
    group.sum = lambda tensor: asked.append(tensor.item()) or tensor + 1  # the other one says yes
    assert not group.any(7, due=True) and not asked
    assert group.any(100, due=False) and asked == [0.0]


def test_the_command_line_runs_under_torchrun_and_writes_once(tmp_path):
    """Compiled, where there is a compiler: the batch's last share is too small to be worth it and goes plain."""
    command = ["-m", "nin_helpers", "train", "--profile", "smoke", "--dataset", "digits", "--device", "cpu"]
    process = launch(*command, *(["--compile"] if shutil.which("g++") else []), "--out", tmp_path / "run")
    out = process.stdout
    assert "compile failed" not in process.stderr
    assert out.count("test accuracy") == 1 and out.count("train, ") == 1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["history.json", "weights.safetensors"]


def test_alone_a_group_is_this_process():
    group, index = ProcessGroup("cpu"), torch.arange(5)
    assert (group.rank, group.size, group.sum(3), group.gather(index).tolist()) == (0, 1, 3, [index.tolist()])
    part, weight = group.shard(index)
    assert torch.equal(part, index) and weight == 1


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
