"""The networks of experiments."""

from nin_helpers.classics import alexnet, lenet, vgg11
from nin_helpers.nin import NiN, nin_family

# Exercise 5: whose memory is measured.
NETWORKS = {"LeNet": lenet, "AlexNet": alexnet, "VGG-11": vgg11, "NiN": NiN}


def build(case, config):
    """Return the network of a case of `EXPERIMENTS`, with the start and the input size of `config`."""
    options = {**config.model_options(), **case.get("model", {})}
    return nin_family(case["family"], **options) if "family" in case else NiN(**options)
