"""Several processes that train together, by torch.distributed: `torchrun` starts them."""

import gc
import importlib
import os

import torch
from torch.nn.parallel import DistributedDataParallel

from nin_helpers.hardware import pick_device


class ProcessGroup:
    """The processes that train together: as many as `torchrun` has started, or this one alone.

    Each trains on its shard of each batch, and the gradients are averaged: batch and recipe stay as they are, but batch
    normalisation averages over a shard. Each answers for its share of the held-out and the test images, too. A process
    more than a checkpoint knows of draws the dropout masks of a new run. End a script by `end_process_group()`.

    device: a name, see `pick_device`; each process takes a GPU of its own. Attributes: rank, from 0; size; device.
    """

    def __init__(self, device="auto"):
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.device = pick_device(device)
        if self.size > 1 and self.device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
            torch.cuda.set_device(self.device)  # or each process would take memory of the first GPU too
        if self.size > 1 and not torch.distributed.is_initialized():
            importlib.import_module(
                "torch.distributed.nn"
            )  # after the group is made, its defaults would hold it for good

            torch.distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    def check(self, count, batch_size, num_steps):
        """Raise ValueError where a batch of a run over `count` images has fewer images than there are processes."""
        last = count % batch_size
        smallest = last if last and num_steps >= -(-count // batch_size) else min(count, batch_size)
        if smallest < self.size:
            raise ValueError(
                f"batch_size={batch_size} leaves a batch of {smallest} of the {count:,} images, too small for "
                f"{self.size} processes; choose another batch_size, or fewer processes"
            )

    def wrap(self, model):
        """Return `model`, wrapped so that a backward pass averages the gradients of all processes."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, [self.device.index] if self.device.type == "cuda" else None)

    def shard(self, index):
        """Return this process's share of a batch's indices, and its weight beside equal shares."""
        part = index[self.rank :: self.size]
        return part, self.size * len(part) / len(index)

    def sum(self, tensor):
        """Return the sum of `tensor` over the processes."""
        if self.size > 1:
            tensor = tensor.clone()
            torch.distributed.all_reduce(tensor)
        return tensor

    def gather(self, tensor):
        """Return (processes, …), on the CPU: each one's `tensor`."""
        if self.size == 1:
            return tensor[None].cpu()
        tensor = tensor.to(self.device)
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        torch.distributed.all_gather(found, tensor)
        return torch.stack(found).cpu()

    def any(self, step, due):
        """Return whether `due` holds in any process. Several ask only every hundred steps, as asking takes waiting."""
        if self.size == 1:
            return due
        return step % 100 == 0 and self.sum(torch.tensor(float(due), device=self.device)).item() > 0

    def predict(self, answer, model, images):
        """Return `answer(images)`, logits (count, classes), where each process answers for its share of the images."""
        if len(images) < self.size or self.size == 1:
            return answer(images)
        for buffer in model.buffers():  # batch normalisation: the first process's running statistics
            torch.distributed.broadcast(buffer, 0)
        mine = slice(self.rank, None, self.size)
        found = answer(images[mine])
        logits = found.new_zeros(len(images), found.shape[1])
        logits[mine] = found
        return self.sum(logits)


def end_process_group():
    """End the group that `train` has made of several processes, if it has: the last call of a script that trains.

    It waits for the group's threads. One that lets go of a tensor while Python ends would abort the process.
    """
    if torch.distributed.is_initialized():
        gc.collect()  # a compiled replica of the model, which has a hold on the group, is part of a cycle
        torch.distributed.destroy_process_group()
