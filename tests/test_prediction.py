"""Weights with what an answer needs: written, read back, refused; and the commands `predict` and `train --folder`."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from nin_helpers import __main__ as command_line
from nin_helpers import weight_files
from nin_helpers.nin import NiN, load_pretrained
from nin_helpers.prediction import load_classifier, save_pretrained
from nin_helpers.training import PROFILES, make_config, predict


@pytest.fixture(scope="module")
def trained(digits):
    """A network for the digits, at the smallest size, and its configuration."""
    torch.manual_seed(0)
    config = make_config("smoke")
    return NiN(**config.model_options(digits)), config


@pytest.fixture(scope="module")
def weights(trained, digits, tmp_path_factory):
    """The file of it, in 16 bits."""
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_pretrained(*trained, digits, path)
    return path


def test_a_network_comes_back_in_32_bits_with_the_values_of_16_ready_to_predict(trained, weights):
    model = load_pretrained(weights)
    assert not model.training and weights.stat().st_size < 2.1 * sum(p.numel() for p in model.parameters())
    for name, tensor in trained[0].state_dict().items():
        found = model.state_dict()[name]
        assert found.dtype == torch.float32 and torch.equal(found, tensor.half().float())


def test_a_classifier_answers_as_the_network_does(weights, trained, digits):
    classifier, images = load_classifier(weights), digits.test.images[:3]
    assert (classifier.config, classifier.classes, classifier.picture_size) == (trained[1], digits.classes, 8)
    logits = predict(classifier.model, images, trained[1])
    for row, shares in zip(logits.softmax(dim=1), classifier.top(images, 10)):
        assert list(shares.values()) == row.sort(descending=True).values.tolist()
        assert [row[digits.classes.index(name)].item() for name in shares] == list(shares.values())
    maps = classifier.maps(images, ["4", "0", "9"])
    torch.testing.assert_close(maps.mean(dim=(1, 2)), logits[range(3), [4, 0, 9]])


def test_the_same_network_gives_the_same_bytes(trained, digits, weights, tmp_path):
    save_pretrained(*trained, digits, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == weights.read_bytes()


def test_a_network_of_another_kind_or_too_large_for_16_bits_is_not_written(trained, digits, tmp_path):
    model, config = trained
    with pytest.raises(ValueError, match=r"not the network that config and data describe, NiN with .*'batch_norm': Tr"):
        save_pretrained(model, replace(config, batch_norm=True), digits, tmp_path / "x")
    large = NiN(**config.model_options(digits))
    large.state_dict()["block1.0.bias"][0] = 1e6
    with pytest.raises(ValueError, match=r"block1\.0\.bias has a value that torch\.float16 cannot hold"):
        save_pretrained(large, config, digits, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_missing_damaged_or_of_something_else_is_named(weights, tmp_path, monkeypatch):
    path, content = tmp_path / "w", bytearray(weights.read_bytes())
    with pytest.raises(FileNotFoundError, match=f"there is no file of weights {path}"):
        load_pretrained(path)
    content[-1000] ^= 1
    for damaged, message in ((content, "is damaged: its content is not"), (b"abc", "is no file of weights, or is")):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{path} {message}"):
            load_pretrained(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=f"{path} does not say which network it is of"):
        load_pretrained(path)
    monkeypatch.setattr(weight_files, "PRETRAINED", path.with_name("none"))
    with pytest.raises(FileNotFoundError, match=f"this copy of nin_helpers has no trained network: {tmp_path}/none"):
        load_pretrained()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "one.png"
    Image.radial_gradient("L").save(path)
    return path


def run(*arguments):
    return command_line.main(["predict", *map(str, arguments)])


def test_predict_tells_the_three_most_likely_classes_as_text_and_as_json(weights, picture, capsys):
    classifier = load_classifier(weights)
    (shares,) = classifier.top(classifier.read(picture)[None])
    assert run(picture, "--weights", weights) == 0
    told = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    assert capsys.readouterr().out == f"{picture}: {told}\n" and len(shares) == 3
    assert run(picture, picture, "--weights", weights, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["picture"] for each in found] == [str(picture)] * 2
    for each in found:
        assert list(each["shares"]) == list(shares) and each["shares"] == pytest.approx(shares, rel=1e-4)


def test_predict_draws_a_map_of_each_picture(weights, picture, tmp_path, capsys):
    assert run(picture, picture, "--weights", weights, "--maps", tmp_path / "maps.png") == 0
    width, height = Image.open(tmp_path / "maps.png").size
    assert height > 0.8 * width and "one.png: " in capsys.readouterr().out  # a row each


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["none.png"], "none.png cannot be read: No such file"),
        (["text.png"], "text.png: the file cannot be read as a picture"),
        (["one.png", "--top", "0"], "top=0 must be a whole number of at least 1"),
        (["one.png", "--weights", "none"], "there is no file of weights none"),
        (["one.png", "--weights", "text.png"], "text.png is no file of weights"),
        (["one.png", "--maps", "text.png/maps.png"], "text.png/maps.png cannot be written"),
        (["one.png", "--maps", "maps.doc"], "Format 'doc' is not supported"),
    ],
)
def test_what_predict_cannot_use_is_one_line(weights, picture, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(picture.parent)
    picture.with_name("text.png").write_text("no picture")
    assert run("--weights", weights, *arguments) == 2  # of two the last one counts
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {message}") and err.count("\n") == 1 and not out


def test_a_folder_is_trained_on_and_its_weights_predict(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setitem(PROFILES, "smoke", {"size": 67, "batch_size": 4, "num_steps": 2, "num_evaluations": 1})
    for name in ("blue", "red"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (90, 80), name).save(tmp_path / "mine" / name / f"{number}.png")
    command = ["train", "--profile", "smoke", "--folder", str(tmp_path / "mine"), "--out", str(tmp_path / "run")]
    assert command_line.main([*command, "--data", "elsewhere"]) == 2
    assert capsys.readouterr().err.endswith("mine' and data='elsewhere': give one of the two\n")
    assert command_line.main(command) == 0
    classifier = load_classifier(tmp_path / "run" / "weights.safetensors")
    assert (classifier.model.in_channels, classifier.classes, classifier.picture_size) == (3, ("blue", "red"), 67)
    assert classifier.config.mean == (0.5, 0.0, 0.5)  # half of the pixels are blue, half are red
    assert run(tmp_path / "mine" / "red" / "0.png", "--weights", tmp_path / "run" / "weights.safetensors") == 0
    assert "red " in capsys.readouterr().out.splitlines()[-1]
