"""Experiments over seeds: what is measured (`specs`), the runs (`runner`, `search`), and what was found (`results`).

`measurements` are those that are more than an accuracy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "measurements": ["first_steps", "run_first_steps", "run_resources", "run_speed"],
        "results": ["best_settings", "load_result", "load_results", "report", "summarise"],
        "networks": ["build"],
        "runner": ["run_experiment"],
        "search": ["run_search"],
        "specs": ["EXPERIMENTS", "FIRST_STEPS"],
    },
)
