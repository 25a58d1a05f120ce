"""A model for a moment as in prediction."""

import contextlib


@contextlib.contextmanager
def evaluating(model):
    """Switch dropout off and let batch normalisation use what it has seen; then put back each module's own mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
