"""The recorded results: one schema for all files, how they are read and written. Imports no torch.

A file is JSON, whose numbers are finite or null. In memory it is a dictionary: "experiment", its name; "data", what was
trained or timed on; and "runs", a list of dictionaries. A run has "environment": where, by what and when it ran, as
`provenance.environment` tells it; "config": what was chosen, or None where that was not recorded; and its figures.
Further lists of such runs may stand beside it. In the file, "environments" and "configs" hold each of these once, and a
run has their index.
"""

import json
from importlib.resources import files
from pathlib import Path

from nin_helpers.files import as_json, write_whole

SCHEMA = 1
ENVIRONMENT = {"device", "device_name", "threads", "versions", "command", "date"}
TABLES = {"environment": "environments", "config": "configs"}


def new_result(experiment, data):
    """Return a result without runs."""
    return {"experiment": experiment, "data": data, "runs": []}


def write_result(path, result):
    """Write `result` to `path`, whole or not at all, each run on a line."""
    packed = {"schema": SCHEMA, "experiment": result["experiment"], "data": result["data"]}
    packed |= {table: [] for table in TABLES.values()}
    for key, value in result.items():
        if key not in packed:
            runs = key == "runs" or _are_runs(value)
            packed[key] = [_pack(run, packed) for run in as_json(value)] if runs else as_json(value)
    parts = (f" {_text(key)}: {_lines(value)}" for key, value in packed.items())
    write_whole(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def read_result(path):
    """Return the result in the file `path`. Raises ValueError, naming the file and what does not fit."""
    path = Path(path)
    try:
        packed = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        return _unpack(packed)
    except ValueError as error:
        raise ValueError(f"{path} is no file of results, or is damaged: {error}") from error


def load_result(name, folder=None):
    """Return the result `name`: from `folder`, the checkout's results/, or the installed ones; see `read_result`."""
    places = [Path(folder)] if folder else []
    for place in [*places, *_recorded()]:
        path = place / f"{name}.json"
        if path.is_file():
            return read_result(path)
    raise FileNotFoundError(f"there is no result {name!r}: {path} is missing")


def load_results(start):
    """Return the results whose names begin with `start`, by name: those of the checkout's results/ or the installed."""
    for place in _recorded():
        names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        found = [name.removesuffix(".json") for name in names if name.startswith(start) and name.endswith(".json")]
        if found:
            return [load_result(name) for name in found]
    return []


def resume(path, data, planned, device):
    """Return the result in the file `path`, or a new one where there is none, and which of the `planned` runs it lacks.

    planned: the runs that the experiment is to have, as they are before anything is measured. device: the name of what
    they are to run on. Raises ValueError for a file that does not fit: of another experiment or other data, or whose
    run of the same case has another configuration or ran on another kind of device.
    """
    if not path.exists():
        return new_result(path.stem, data), planned
    result = read_result(path)
    for key, value in (("experiment", path.stem), ("data", data)):
        _check_same(path, key, result[key], value)
    wanted = {_case(run): run["config"] for run in reversed(planned)}
    for run in result["runs"]:
        config = wanted.get(_case(run, planned[0]), {})
        for key in (key for key in config if key in (run["config"] or {})):
            _check_same(path, key, run["config"][key], config[key])
        _check_same(path, "device", run["environment"]["device"], device.partition(":")[0])
    missing = [run for run in planned if not any(_is_done(run, done) for done in result["runs"])]
    if not missing:
        print(f"{path} has all of these runs already; name another out to measure them again")
    return result, missing


def add_run(path, result, run, order=None):
    """Append `run` to the runs of `result`, put these in `order`, a key to sort by, and write the file `path`."""
    result["runs"].append(as_json(run))
    if order:
        result["runs"].sort(key=order)
    write_result(path, result)


def best_settings(name="search", folder=None):
    """Return the settings of the trial of the search `name` with the best held-out accuracy; see `load_result`."""
    return max(load_result(name, folder)["runs"], key=lambda run: run["validation_accuracy"])["settings"]


def _case(run, like=None):
    """Return what runs of one case have in common, of the keys that the planned run `like` has."""
    return tuple(run.get(key) for key in like or run if key not in ("config", "seed", "repeat"))


def _is_done(planned, run):
    """Return whether `run` is the planned one, to be told by all but its configuration."""
    return all(run.get(key) == value for key, value in planned.items() if key != "config")


def _check_same(path, key, found, wanted):
    if found != wanted:
        raise ValueError(f"{path} holds runs of {key}={found!r}, not {wanted!r}; name another out")


def _recorded():
    return Path(__file__).parents[2] / "results", files("nin_helpers") / "results"


def _are_runs(value):
    return isinstance(value, list) and all(isinstance(entry, dict) and "environment" in entry for entry in value)


def _pack(run, tables):
    """Return `run` with indexes in the place of its environment and configuration, which go into `tables`."""
    indexes = {}
    for key, table in TABLES.items():
        value, known = run[key], tables[table]
        if value is not None and value not in known:
            known.append(value)
        indexes[key] = None if value is None else known.index(value)
    return {**run, **indexes}


def _unpack(packed):
    if not isinstance(packed, dict) or packed.get("schema") != SCHEMA:
        raise ValueError(f'"schema" must be {SCHEMA}')
    for key, kind in (("experiment", str), ("data", str), *((table, list) for table in (*TABLES.values(), "runs"))):
        if not isinstance(packed.get(key), kind):
            raise ValueError(f'"{key}" must be a {"text" if kind is str else "list"}')
    for number, environment in enumerate(packed["environments"]):
        if not isinstance(environment, dict) or environment.keys() != ENVIRONMENT:
            raise ValueError(f"environment {number} must have {', '.join(sorted(ENVIRONMENT))}, and nothing else")
    for number, config in enumerate(packed["configs"]):
        if not isinstance(config, dict):
            raise ValueError(f"configuration {number} must be an object")
    tables = {key: packed.pop(table) for key, table in TABLES.items()}
    del packed["schema"]
    for key, value in packed.items():
        if key == "runs" or _are_runs(value):
            for number, run in enumerate(value):
                _look_up(run, tables, f"{key}[{number}]")
    return packed


def _look_up(run, tables, place):
    """Put environment and configuration in the place of their indexes; ValueError: there are no such."""
    if not isinstance(run, dict):
        raise ValueError(f"{place} must be an object")
    for key, table in tables.items():
        index = run.get(key)
        if key == "config" and index is None:
            run[key] = None
        elif type(index) is int and 0 <= index < len(table):
            run[key] = table[index]
        else:
            raise ValueError(f"{place}.{key} is {index!r}; there are 0 to {len(table) - 1}")


def _refuse(constant):
    raise ValueError(f"{constant} is no JSON")


def _text(value):
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(value):
    """Return `value` as JSON, the entries of a list on a line each."""
    if not isinstance(value, list) or not value:
        return _text(value)
    return "[\n  " + ",\n  ".join(map(_text, value)) + "\n ]"
