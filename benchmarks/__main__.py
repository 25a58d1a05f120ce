"""How fast NiN trains here: `python -m benchmarks`."""

import argparse
import sys

from benchmarks.turns import ProcessEnded, measure
from nin_helpers.datasets import DataError
from nin_helpers.training import CheckpointError


def main(arguments=None):
    """Run the command line; return 0, 130 where it was stopped, or 2 with one line of what it cannot use."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure how fast NiN trains here.")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each case (default: 5); 0: keep the file's")
    parser.add_argument("--size", type=int, default=224, help="of the images, in pixels (default: 224)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, help="of a turn (default: 2 on a CPU, else 200)")
    parser.add_argument(
        "--no-growth", action="store_false", dest="growth", help="leave out more data and other batches"
    )
    parser.add_argument("--until", type=float, help="also train recipe modern to this held-out accuracy, such as 0.88")
    parser.add_argument("--compile", action="store_true", help="measure ours by torch.compile too")
    parser.add_argument("--data", dest="root", help="folder that holds FashionMNIST/raw (default: NIN_DATA)")
    parser.add_argument("--out", default="results", help="folder for benchmark_MACHINE.json (default: results)")
    try:
        measure(**vars(parser.parse_args(arguments)))
    except (ValueError, DataError, CheckpointError, OSError, ProcessEnded) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
