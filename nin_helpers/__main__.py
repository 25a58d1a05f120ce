"""The command line: `python -m nin_helpers train` and `python -m nin_helpers experiment`."""

import argparse
import os
import sys
from pathlib import Path

from nin_helpers.training.config import PROFILES, RECIPES, make_config

EXPERIMENTS = (
    "recipes, cure, dead_classes, first_steps (notebook 3); search, tuned, per_pixel, per_pixel_longer, heads, "
    "resources, reduction, family, speed (the exercises); modern, pictures (notebook 6)"
)


def main(arguments=None):
    """Run the command line; return 0, 130 where it was stopped, or 2 with one line of what it cannot use."""
    options = _parser().parse_args(arguments)
    from nin_helpers.datasets import DataError
    from nin_helpers.training import CheckpointError

    try:
        return options.run(options) or 0
    except (ValueError, DataError, CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(prog="python -m nin_helpers", description="Train Network in Network.")
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser("train", help="train one network, without a notebook")
    train.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (default: quick)")
    train.add_argument("--recipe", default="adamw_alive", help=f"{', '.join(RECIPES)} (default: adamw_alive)")
    train.add_argument("--batch-size", type=int, help="instead of the profile's")
    train.add_argument("--epochs", type=int, dest="num_epochs", help="instead of the profile's length")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    train.add_argument("--precision", default="auto", help="auto (default), fp32, bf16 or fp16")
    train.add_argument("--compile", action="store_true", help="by torch.compile first, for long runs")
    train.add_argument("--dataset", help="auto (default), fashion_mnist (default with --data) or digits")
    train.add_argument("--data", help="folder that holds FashionMNIST/raw (default: NIN_DATA, else the cache folder)")
    train.add_argument("--out", default="runs/train", help="folder for history.json and the weights, or a .json file")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint of a run that was stopped")
    train.add_argument("--tensorboard", metavar="DIR", help="folder for TensorBoard's curves")
    train.set_defaults(run=_train)

    experiment = commands.add_parser("experiment", help="measure what the notebooks tell; resumes where it stopped")
    experiment.add_argument("name", help=EXPERIMENTS)
    experiment.add_argument("--profile", default="reduced", help="how much each run trains (default: reduced)")
    experiment.add_argument("--seeds", type=int, help="runs per case (default: 20); of resources and speed: repeats")
    experiment.add_argument("--trials", type=int, default=60, help="of a search: recipes to try (default: 60)")
    experiment.add_argument("--device", default="cpu", help="cpu (default), cuda, mps")
    experiment.add_argument("--precision", default="fp32", help="fp32 (default), bf16 or auto")
    experiment.add_argument("--jobs", type=int, default=1, help="runs at a time, on one thread each")
    experiment.add_argument("--data", help="as for train; the data are Fashion-MNIST, never the stand-in")
    experiment.add_argument("--out", default="results", help="folder for NAME.json (default: results)")
    experiment.set_defaults(run=_experiment)
    return parser


def _train(options):
    import torch

    from nin_helpers.datasets import load_data
    from nin_helpers.hardware import pick_device, pick_precision
    from nin_helpers.nin import NiN
    from nin_helpers.training import RunFiles, end_process_group, train

    config = _config(options)
    pick_precision(config.precision, pick_device(config.device))  # says what cannot be used, before anything is written
    files = RunFiles(options.out)
    if files.is_finished(config, options.resume):
        print(f"{files.history} is of a run that is finished; name another --out to train again")
        return 0
    data = load_data(options.dataset or ("fashion_mnist" if options.data else "auto"), options.data)
    files.check()
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun has started
    if first:
        print(data)
    torch.manual_seed(config.seed)
    model = NiN(num_classes=len(data.classes), **config.model_options())
    history = train(model, data, config, checkpoints=files.checkpoints, log_dir=options.tensorboard)
    end_process_group()
    if first:
        print(files.write(model, history), _result(data, history), sep="\n")
    return 130 if history["interrupted"] else 0


def _config(options):
    changes = {name: getattr(options, name) for name in ("seed", "device", "precision", "compile")}
    for name in ("batch_size", "num_epochs"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    return make_config(options.profile, options.recipe, **changes)


def _result(data, history):
    return (
        f"{data.title}: test accuracy {history['test_accuracy']:.4f} over {history['test_images']:,} images, after "
        f"{history['training_seconds']:.0f} s of training on {history['device']} in {history['precision']}"
    )


def _experiment(options):
    from nin_helpers.experiments.measurements import run_first_steps, run_resources, run_speed
    from nin_helpers.experiments.runner import run_experiment

    seeds = () if options.seeds is None else (options.seeds,)
    places = {"out": Path(options.out), "device": options.device}
    settings = {**places, "jobs": options.jobs, "root": options.data, "precision": options.precision}
    if options.name == "resources":
        run_resources(*seeds, **places)
    elif options.name == "speed":
        run_speed(*seeds, **places, profile=options.profile, precision=options.precision)
    elif options.name == "first_steps":
        run_first_steps(root=options.data, out=Path(options.out))
    elif options.name == "search":
        from nin_helpers.experiments.search import run_search

        run_search(options.profile, options.trials, **settings)
    else:
        run_experiment(options.name, options.profile, *seeds, **settings)


if __name__ == "__main__":
    sys.exit(main())
