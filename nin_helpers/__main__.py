"""The command line: `python -m nin_helpers train`, `predict` and `experiment`."""

import argparse
import json
import os
import sys
from pathlib import Path

from nin_helpers.checks import check_whole_number
from nin_helpers.experiments.specs import EXPERIMENTS, OPTIONS, options_of, specify
from nin_helpers.training.config import PROFILES, RECIPES, make_config


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
    parser = argparse.ArgumentParser(prog="python -m nin_helpers", description="Network in Network: train it, use it.")
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser("train", help="train one network, without a notebook")
    train.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (default: quick)")
    recipes = (
        f"{', '.join(RECIPES)} (default: adamw_alive; with --folder modern, as few pictures want batch normalisation)"
    )
    train.add_argument("--recipe", help=recipes)
    train.add_argument("--batch-size", type=int, help="instead of the profile's")
    train.add_argument("--epochs", type=int, dest="num_epochs", help="instead of the profile's length")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    train.add_argument("--precision", default="auto", help="auto (default), fp32, bf16 or fp16")
    train.add_argument("--compile", action="store_true", help="by torch.compile first, for long runs")
    train.add_argument("--dataset", help="auto (default), fashion_mnist (default with --data) or digits")
    train.add_argument("--data", help="folder that holds FashionMNIST/raw (default: NIN_DATA, else the cache folder)")
    train.add_argument("--folder", help="your own pictures, in a folder for each class: FOLDER/CLASS/PICTURE")
    train.add_argument("--out", default="runs/train", help="folder for history.json and the weights, or a .json file")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint of a run that was stopped")
    train.add_argument("--tensorboard", metavar="DIR", help="folder for TensorBoard's curves")
    train.set_defaults(run=_train)

    predict = commands.add_parser("predict", help="say what is in a picture")
    predict.add_argument("pictures", nargs="+", metavar="PICTURE", help="a file: PNG, JPEG and the like")
    predict.add_argument("--weights", metavar="FILE", help="of train (default: the network trained on Fashion-MNIST)")
    predict.add_argument("--invert", action="store_true", help="light for dark: Fashion-MNIST is light on dark")
    predict.add_argument("--top", type=int, default=3, metavar="K", help="so many classes (default: 3)")
    predict.add_argument("--maps", metavar="OUT.png", help="draw each picture beside the map of its first class")
    predict.add_argument("--json", action="store_true", help="print JSON")
    predict.set_defaults(run=_predict)

    experiment = commands.add_parser("experiment", help="measure what the notebooks tell; resumes where it stopped")
    experiment.formatter_class = argparse.RawDescriptionHelpFormatter
    experiment.epilog = "experiments:\n" + "\n".join(f"  {name:18}{each.about}" for name, each in EXPERIMENTS.items())
    experiment.add_argument("name", nargs="?", help="what to measure, see below")
    experiment.add_argument("--all", action="store_true", help="all of them, one after another")
    experiment.add_argument("--out", default="results", help="folder for NAME.json (default: results)")
    options = experiment.add_argument_group("options", "in place of the experiment's own")
    options.add_argument("--profile", help=f"how much each run trains: {', '.join(PROFILES)}")
    options.add_argument("--seeds", type=int, help="runs of each case")
    options.add_argument("--trials", type=int, help="recipes that a search tries")
    options.add_argument("--repeats", type=int, help="how often memory and speed are measured")
    options.add_argument("--precision", help="fp32, bf16, fp16 or auto")
    options.add_argument("--device", help="cpu, cuda, mps or auto")
    options.add_argument("--jobs", type=int, help="runs at a time, on one thread each")
    options.add_argument("--data", help="as for train; the data are Fashion-MNIST, never the stand-in")
    experiment.set_defaults(run=_experiment)
    return parser


def _train(options):
    import torch

    from nin_helpers.hardware import pick_device, pick_precision
    from nin_helpers.nin import NiN
    from nin_helpers.training import RunFiles, end_process_group, train

    config = _config(options)
    pick_precision(config.precision, pick_device(config.device))  # says what cannot be used, before anything is written
    data = _data(options, config.size)
    config = _config(options, data)
    files = RunFiles(options.out)
    if files.is_finished(config, options.resume):
        print(f"{files.history} is of a run that is finished; name another --out to train again")
        return 0
    files.check()
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun has started
    if first:
        print(data)
    torch.manual_seed(config.seed)
    model = NiN(**config.model_options(data))
    history = train(model, data, config, checkpoints=files.checkpoints, log_dir=options.tensorboard)
    end_process_group()
    if first:
        print(files.write(model, history, data), _result(data, history), sep="\n")
    return 130 if history["interrupted"] else 0


def _data(options, size):
    from nin_helpers.datasets import load_data, load_folder

    if options.folder is None:
        return load_data(options.dataset or ("fashion_mnist" if options.data else "auto"), options.data)
    for name in ("data", "dataset"):
        if getattr(options, name) is not None:
            raise ValueError(f"folder={options.folder!r} and {name}={getattr(options, name)!r}: give one of the two")
    return load_folder(options.folder, size=size)


def _config(options, data=None):
    changes = {name: getattr(options, name) for name in ("seed", "device", "precision", "compile")}
    for name in ("batch_size", "num_epochs"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    recipe = options.recipe or ("adamw_alive" if options.folder is None else "modern")
    return make_config(options.profile, recipe, data, **changes)


def _result(data, history):
    return (
        f"{data.title}: test accuracy {history['test_accuracy']:.4f} over {history['test_images']:,} images, after "
        f"{history['training_seconds']:.0f} s of training on {history['device']} in {history['precision']}"
    )


def _predict(options):
    import torch

    from nin_helpers.prediction import load_classifier

    check_whole_number("top", options.top, 1)
    classifier = load_classifier(options.weights)
    pictures = torch.stack([classifier.read(path, options.invert) for path in options.pictures])
    answers = classifier.top(pictures, options.top)
    if options.maps:
        _draw_maps(options, classifier, pictures, [next(iter(shares)) for shares in answers])
    if options.json:
        found = [{"picture": path, "shares": shares} for path, shares in zip(options.pictures, answers)]
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        for path, shares in zip(options.pictures, answers):
            print(f"{path}:", ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))


def _draw_maps(options, classifier, pictures, names):
    from nin_helpers import plots

    titles = [f"{Path(path).name}:\n{name}" for path, name in zip(options.pictures, names)]
    maps = classifier.maps(pictures, names)
    plots.save(plots.show_maps(pictures.movedim(1, 3).numpy(), maps.numpy(), titles, columns=1), options.maps)


def _experiment(options):
    if options.all == bool(options.name):
        raise ValueError(f"name an experiment, or --all of them: {', '.join(EXPERIMENTS)}")
    given = {option: getattr(options, option) for option in OPTIONS if getattr(options, option) is not None}
    chosen = {options.name: given}
    if options.all:  # an option is for those that take it
        names = [name for name, each in EXPERIMENTS.items() if getattr(each, "device", "cpu") != "cuda"]
        chosen = {name: {key: given[key] for key in given.keys() & options_of(name)} for name in names}
    for name, changes in chosen.items():
        specify(name, **changes)  # says what cannot be used, before anything is measured
    from nin_helpers.experiments import run_experiment

    try:
        for name, changes in chosen.items():
            run_experiment(name, Path(options.out), **changes)
    except KeyboardInterrupt:
        print("stopped; runs that were finished are kept, and the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
