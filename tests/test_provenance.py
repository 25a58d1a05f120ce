"""What a measured figure names."""

import pytest
import torch

from nin_helpers.provenance import environment


def test_the_environment_names_device_and_versions():
    found = environment(torch.device("cpu"))
    assert found["device"] == "cpu" and found["versions"]["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(
    "arguments, command",
    [
        (["/home/me/nin_helpers/__main__.py", "train", "--out", "a b"], "python -m nin_helpers train --out 'a b'"),
        (["/home/me/site-packages/ipykernel_launcher.py", "-f", "/home/me/kernel.json"], "notebook"),
        (["/home/me/bin/pytest", "tests"], "pytest"),
    ],
)
def test_the_command_is_named_without_the_machines_paths(monkeypatch, arguments, command):
    monkeypatch.setattr("sys.argv", arguments)
    assert environment(torch.device("cpu"))["command"] == command
