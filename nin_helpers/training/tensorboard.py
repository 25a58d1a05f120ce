"""What a live plot shows, for TensorBoard."""

COLUMNS = ("loss", "top-1 accuracy", "top-5 accuracy")


class EventWriter:
    """Writes a run's curves into a folder that TensorBoard reads; does nothing without one, or in another process.

    Of each training step: loss, top-1 and top-5 accuracy of its batch. Of each evaluation: the same accuracies on
    held-out images, and images per second. ValueError says how to install TensorBoard.
    """

    def __init__(self, log_dir, rank=0):
        self.writer = None
        if log_dir is not None and rank == 0:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ValueError(
                    "log_dir needs TensorBoard, which is not installed: pip install 'nin_helpers[tensorboard]'"
                ) from error
            self.writer = SummaryWriter(log_dir)

    def __enter__(self):
        return self

    def write(self, history, steps):
        """Write the steps (steps, 4) that `Meter.record` returned, and the history's last evaluation."""
        if self.writer is None:
            return
        last = history["evaluations"][-1]
        for step, row in enumerate((steps[:, :3] / steps[:, 3:]).tolist(), last["step"] - len(steps) + 1):
            for name, value in zip(COLUMNS, row):
                self.writer.add_scalar(f"train/{name}", value, step)
        for name, key in zip(COLUMNS[1:], ("validation_accuracy", "validation_top5_accuracy")):
            self.writer.add_scalar(f"held-out/{name}", last[key], last["step"])
        self.writer.add_scalar("speed/images per second", last["images_per_second"], last["step"])
        self.writer.flush()

    def __exit__(self, *_):
        if self.writer is not None:
            self.writer.close()
