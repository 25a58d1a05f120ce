"""How a run becomes the package's network, and its card: what it says is measured from the file as it is read back."""

import hashlib
import json

import torch
from safetensors.torch import save_file

from nin_helpers.experiments import load_result
from nin_helpers.experiments.pretrained import publish
from nin_helpers.experiments.results import read_result
from nin_helpers.nin import NiN, load_pretrained
from nin_helpers.training import evaluate, make_config
from nin_helpers.training.history import new_history
from nin_helpers.training.step import TrainStep
from nin_helpers.weight_files import PRETRAINED


def test_a_run_is_published_with_what_its_16_bits_answer(digits, tmp_path):
    torch.manual_seed(1)
    config = make_config("smoke", seed=5, device="cpu", precision="fp32")
    model = NiN(**config.model_options(digits))
    history = new_history(digits, TrainStep(model, config, 80), 80, 1)
    run, weights, out = (tmp_path / name for name in ("run", "w.safetensors", "card.json"))
    run.mkdir()
    (run / "history.json").write_text(json.dumps(history))
    save_file(model.state_dict(), run / "weights.safetensors")
    publish(run, weights, out, digits)
    (card,) = read_result(out)["runs"]
    read_back = evaluate(load_pretrained(weights), digits, make_config("smoke", test_limit=None))
    assert (card["test_accuracy"], card["test_images"]) == (read_back["test_accuracy"], len(digits.test))
    assert [sum(row) for row in card["confusion"]] == digits.test.labels.bincount().tolist()
    assert sum(card["confusion"][label][label] for label in range(10)) / 360 == card["test_accuracy"]
    assert (card["seed"], card["config"]["lr"], card["classes"]) == (5, 1e-3, list("0123456789"))
    assert (card["bytes"], card["parameters"]) == (weights.stat().st_size, 1_992_166)
    assert card["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_the_card_in_results_is_of_the_file_in_the_package():
    (card,) = load_result("pretrained")["runs"]
    assert card["sha256"] == hashlib.sha256(PRETRAINED.read_bytes()).hexdigest()
    assert card["test_images"] == 10_000 and card["test_accuracy"] >= 0.91 and card["parameters"] == 1_992_166
    assert card["bytes"] < 4.1e6 and load_pretrained().input_size >= 195
