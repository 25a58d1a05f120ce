"""Steps that find another way where one fails: a batch in pieces, or a network that is not compiled."""

import warnings

import torch
from torch.nn.parallel import DistributedDataParallel

from nin_helpers.hardware import is_out_of_memory, release_memory


def compiled(model):
    """Return `model` behind torch.compile, on CUDA with CUDA graphs, which start a whole pass at once.

    Each shape is compiled for itself, such as that of small pictures, so that none slows the rest.
    """
    on_cuda = next(model.parameters()).device.type == "cuda"
    return torch.compile(model, mode="reduce-overhead" if on_cuda else None, dynamic=False)


class FallbackStep:
    """Takes the steps of a `TrainStep`; where one fails it goes on in smaller pieces, or not compiled, and says so.

    The number of pieces is history["accumulation_steps"], which a resumed run has from its checkpoint.
    """

    def __init__(self, train_step, history):
        self.train_step, self.history = train_step, history
        self.plain, self.compiled = train_step.forward, None
        config = train_step.config
        if config.compile and history["accumulation_steps"] == 1:
            try:
                self.compiled = compiled(self.plain)
            except Exception as error:  # a Python that it does not know, for one
                self._give_way(error, config.batch_size, config.size, was_compiled=True)

    def __call__(self, batch, size, weight, whole):
        """Take one step and return what `TrainStep` does.

        whole: whether it is a full batch. What is left at the end of an epoch is not worth compiling for.
        """
        while True:
            forward = self.compiled if whole and self.compiled is not None else self.plain
            self.train_step.forward = forward
            try:
                return self.train_step(batch, size, weight, self.history["accumulation_steps"])
            except Exception as error:
                self._give_way(error, len(batch), size, forward is not self.plain)
            # here the error is gone, and with it the tensors that its frames held
            if forward is not self.plain:
                torch.compiler.reset()  # gives up the memory of CUDA graphs, which nothing else could use
                release_memory(batch.images.device)

    def _give_way(self, error, count, size, was_compiled):
        """Choose what to do otherwise and warn, or raise `error`."""
        pieces = 2 * self.history["accumulation_steps"]
        full = is_out_of_memory(error)
        if full and isinstance(self.plain, DistributedDataParallel):
            raise error  # the other processes would wait for this one
        if full and pieces <= count:
            self.history["accumulation_steps"] = pieces
            message = (
                f"memory ran out with {count} images of {size} pixels: from here on a batch goes through in {pieces} "
                f"parts, whose gradients are added up; the recipe stays the same, a step takes a bit longer"
            )
        elif was_compiled:
            reason = str(error).strip().split("\n")[0]
            message = f"torch.compile failed ({type(error).__name__}: {reason}): going on without it"
        else:
            raise error
        self.compiled = None  # nor in pieces: CUDA graphs would write each one's gradient over the one before
        warnings.warn(message, stacklevel=4)
