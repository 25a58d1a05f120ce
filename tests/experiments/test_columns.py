"""The columns that say what the networks of a table cost."""

from nin_helpers.experiments import columns
from nin_helpers.experiments.columns import costs, maps_behind, step_times


def result_of(experiment, *runs):
    return {"experiment": experiment, "runs": list(runs)}


def test_each_network_costs_what_it_does_at_the_size_of_its_runs():
    runs = [
        {"case": case, "config": {"size": size, "batch_norm": case == "2 of 1 × 1"}}
        for case, size in (("0 of 1 × 1", 224), ("2 of 1 × 1", 112))
    ]
    found = costs(result_of("per_pixel_longer", *runs))
    assert found["MACs"] == {"0 of 1 × 1": "577.5 M", "2 of 1 × 1": "157.3 M"}
    normalised = 2 * 3 * (96 + 256 + 384 + 10)  # scale and shift of each map
    assert found["parameters"] == {"0 of 1 × 1": 1_546_058, "2 of 1 × 1": 1_992_166 + normalised}


def test_steps_are_compared_within_their_round(monkeypatch):
    seconds = {"family: gap": (5, 5), "heads: gap": (1, 10), "heads: fc": (2, 30)}
    runs = [{"case": case, "seconds": s} for case, found in seconds.items() for s in found]
    monkeypatch.setattr(columns, "load_result", {"speed": result_of("speed", *runs)}.get)
    assert step_times(result_of("heads"), "gap") == {
        "time of a step": {"gap": "1.00 (1.00 – 1.00)", "fc": "2.50 (2.00 – 3.00)"}
    }


def test_what_maps_pass_on_is_the_median_over_the_runs():
    state = {"name": "block4.1", "channels": 10, "live": 8, "rank": 7}
    runs = [{"case": "a", "maps": [state | {"open": x}, state | {"name": "other", "open": 9}]} for x in (1.0, 4.0, 2.0)]
    found = maps_behind(result_of("reduction", *runs), "block4.1")
    assert found == {"channels": {"a": 10}, "live": {"a": 8}, "open": {"a": 2.0}, "rank": {"a": 7}}
