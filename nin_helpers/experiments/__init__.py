"""Experiments over seeds: what is measured, how it is run, what was found.

`specs` says what there is and `runner` makes the runs that are missing: of `cases`, in `workers`; or by `search` and
`measurements`, which are more than an accuracy. `results` keeps the files, `summary` says what is in them, and
`columns` what the networks of a table cost.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cases": ["NETWORKS", "build", "case_config", "searched_config"],
        "columns": ["costs", "maps_behind", "step_times"],
        "measurements": ["first_steps"],
        "results": ["best_settings", "load_result", "load_results"],
        "runner": ["run_experiment"],
        "specs": ["EXPERIMENTS"],
        "summary": ["compare", "grid", "origin", "over_pixels", "report", "scores", "spread", "summarise", "table"],
    },
)
