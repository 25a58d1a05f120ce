"""A framework's network against what PyTorch's did: `make test-frameworks`, in the framework's own environment.

NIN_FRAMEWORK names it: "jax" for nin_jax.py in notebooks/frameworks. There reference.py makes the recorded run.
"""

import importlib
import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from weights import Recorded, batches

framework = importlib.import_module(f"nin_{os.environ['NIN_FRAMEWORK']}")


@pytest.fixture(scope="module")
def recorded():
    return Recorded()


@pytest.fixture
def start(recorded, tmp_path):
    """A file with the weights that PyTorch's network started from."""
    save_file(recorded.weights, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


@pytest.fixture
def model(start):
    model = framework.NiN(dropout=0.0)
    framework.read_weights(model, start)
    return model


def difference(found, wanted):
    """Return the largest difference of two arrays, relative to the largest number in the one that is wanted."""
    assert found.shape == wanted.shape
    return np.abs(found - wanted).max() / np.abs(wanted).max()


def test_the_network_has_pytorchs_parameters(recorded, tmp_path):
    framework.save_weights(framework.NiN(), tmp_path / "new.safetensors")
    arrays = load_file(tmp_path / "new.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == {n: a.shape for n, a in recorded.weights.items()}
    assert sum(array.size for array in arrays.values()) == 1_992_166


@pytest.mark.parametrize("size", [224, 160])
def test_the_same_weights_give_the_same_layers_and_logits(recorded, model, size):
    found, wanted = framework.layer_outputs(model, recorded.inputs[size]), recorded.layers[size]
    assert list(found) == list(wanted)
    for name, output in wanted.items():
        assert difference(found[name], output) < (1e-4 if name == "logits" else 1e-3), name
    assert difference(framework.run(model, recorded.inputs[size]), wanted["logits"]) < 1e-4


def test_weights_come_back_with_the_same_bits(model, start, tmp_path):
    framework.save_weights(model, tmp_path / "back.safetensors")
    before, after = load_file(start), load_file(tmp_path / "back.safetensors")
    assert {name: array.tobytes() for name, array in before.items()} == {n: a.tobytes() for n, a in after.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("block2.0.weight"), r"block2\.0\.weight is missing"),
        (lambda arrays: arrays.update({"block5.0.bias": np.zeros(3, np.float32)}), r"block5\.0\.bias is not a tensor"),
        (
            lambda arrays: arrays.update({"block1.0.weight": arrays["block1.0.weight"][:, :, :5]}),
            r"block1\.0\.weight has shape \(96, 1, 5, 11\), not \(96, 1, 11, 11\)",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(recorded, model, tmp_path, change, message):
    arrays = dict(recorded.weights)
    change(arrays)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, tmp_path / "bad.safetensors")
    before = framework.run(model, recorded.inputs[160])
    with pytest.raises(ValueError, match=message):
        framework.read_weights(model, tmp_path / "bad.safetensors")
    assert np.array_equal(framework.run(model, recorded.inputs[160]), before)  # nothing was changed


def test_a_block_and_a_network_take_pytorchs_arguments(recorded):
    x = np.ones((2, 3, 23, 23), np.float32)
    assert framework.run(framework.nin_block(3, 5, kernel_size=4, stride=3, padding=2), x).shape == (2, 5, 8, 8)
    model = framework.NiN(in_channels=3, num_classes=7)
    assert framework.run(model, np.ones((2, 3, 99, 99), np.float32)).shape == (2, 7)


@pytest.mark.parametrize("bad", [{"in_channels": 0}, {"num_classes": 2.5}, {"dropout": 1}])
def test_a_bad_argument_is_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        framework.NiN(**bad)


def test_dropout_acts_in_training_only(recorded, start):
    model = framework.NiN(dropout=0.5)
    framework.read_weights(model, start)
    x = recorded.inputs[160]
    quiet = [framework.run(model, x) for _ in range(2)]
    noisy = [framework.run(model, x, training=True) for _ in range(2)]
    assert np.array_equal(*quiet) and not np.allclose(*noisy, rtol=1e-3)
    assert difference(quiet[0], recorded.layers[160]["logits"]) < 1e-4


def test_each_network_starts_elsewhere():
    x = np.ones((1, 1, 99, 99), np.float32)
    first, second = (framework.layer_outputs(framework.NiN(), x)["block1.1"] for _ in range(2))
    assert not np.array_equal(first, second)


def test_training_follows_pytorchs_loss(recorded, model):
    step, batch_size = framework.make_step(model, recorded.settings["lr"]), recorded.settings["batch_size"]
    losses = np.array([step(x, y) for x, y in batches(recorded.images, recorded.labels, batch_size)])
    assert len(losses) == 100 and losses[-20:].mean() < 0.5 * losses[0]
    assert (np.abs(losses - recorded.losses) / recorded.losses).max() < 0.02
