"""The fully connected head of the shift test: it is trained on kept features, and what its card says is of its file."""

import dataclasses
import hashlib

import torch

from nin_helpers.experiments import load_result
from nin_helpers.experiments.pretrained_fc import publish
from nin_helpers.nin import load_pretrained, load_pretrained_fc
from nin_helpers.training import evaluate, make_config
from nin_helpers.weight_files import PRETRAINED, PRETRAINED_FC, read_weights


def test_a_head_is_trained_once_its_features_are_kept_and_published(digits, tmp_path):
    data = dataclasses.replace(digits, train=digits.train[:128], test=digits.test[:6])
    work, weights, out = tmp_path / "work", tmp_path / "fc.safetensors", tmp_path / "card.json"
    (card,) = publish(work, weights, out, data)["runs"]
    (part,) = work.iterdir()
    kept, before = part.stat().st_mtime_ns, weights.read_bytes()
    assert read_weights(part)[0]["features"].shape == (128, 384 * 5 * 5)
    publish(work, weights, out, data)
    assert (part.stat().st_mtime_ns, weights.read_bytes()) == (kept, before), "the second time only the head is trained"
    model = load_pretrained_fc(weights)
    read_back = evaluate(model, data, make_config("trained"))
    assert (card["test_accuracy"], card["test_images"]) == (read_back["test_accuracy"], 6)
    assert card["shifts"]["fc"][0] == card["test_accuracy"] and set(card["shifts"]) == {"gap", "fc"}
    trained = evaluate(model, dataclasses.replace(data, test=data.train), make_config("trained"))
    assert trained["test_accuracy"] > 0.8, "it has learned what it was shown"


def test_the_packages_two_networks_differ_in_the_head_alone():
    gap, fc = load_pretrained().state_dict(), load_pretrained_fc().state_dict()
    shared = [name for name in gap if not name.startswith("block4")]
    assert set(fc) == {*shared, "fc.weight", "fc.bias"} and all(torch.equal(gap[name], fc[name]) for name in shared)


def test_the_card_in_results_is_of_the_files_in_the_package():
    (card,) = load_result("pretrained_fc")["runs"]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (PRETRAINED_FC, PRETRAINED)]
    assert [card["sha256"], card["features_of"]] == digests
    assert card["test_images"] == 10_000 and abs(card["test_accuracy"] - 0.918) < 0.01, "as good as the average"
    assert card["shifts"]["gap"]["48"] - card["shifts"]["fc"]["48"] > 0.2
