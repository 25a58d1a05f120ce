"""Columns for the tables of `summary`: what a network costs, how long its step takes, what its maps pass on."""

from statistics import median

import torch

from nin_helpers.experiments.cases import build
from nin_helpers.experiments.results import load_result
from nin_helpers.experiments.specs import EXPERIMENTS
from nin_helpers.experiments.summary import spread
from nin_helpers.resources import count_macs, count_parameters
from nin_helpers.training.config import make_config


def costs(result):
    """Return the columns "parameters" and "MACs", of one image, at the size at which each case was trained."""
    configs = {run["case"]: run["config"] for run in result["runs"]}
    columns = {"parameters": {}, "MACs": {}}
    for case in EXPERIMENTS[result["experiment"]].cases:
        size = configs[case.name]["size"]
        batch_norm = configs[case.name].get("batch_norm", False)  # which the first files do not tell
        with torch.device("meta"):
            model = build(case, make_config("full", size=size, batch_norm=batch_norm))
        columns["parameters"][case.name] = count_parameters(model)
        columns["MACs"][case.name] = f"{count_macs(model, (1, 1, size, size)) / 1e6:,.1f} M"
    return columns


def step_times(result, reference):
    """Return the column "time of a step": over that of the case `reference` in the same round, median and range.

    The seconds are those of the experiment "speed", whose cases are named "experiment: case".
    """
    seconds = {}
    for run in load_result("speed")["runs"]:
        group, case = run["case"].split(": ")
        if group == result["experiment"]:
            seconds.setdefault(case, []).append(run["seconds"])
    ratios = {case: [a / b for a, b in zip(found, seconds[reference])] for case, found in seconds.items()}
    return {"time of a step": {case: spread(found, 2) for case, found in ratios.items()}}


def maps_behind(result, layer):
    """Return the columns "channels", "live", "open" and "rank" of the maps behind `layer`, medians over the runs.

    What they mean says `diagnostics.MapState`; the runs are those of cases with measure="maps".
    """
    found = {}
    for run in result["runs"]:
        (state,) = (state for state in run["maps"] if state["name"] == layer)
        found.setdefault(run["case"], []).append(state)
    names = ("channels", "live", "open", "rank")
    return {name: {case: median(each[name] for each in states) for case, states in found.items()} for name in names}
