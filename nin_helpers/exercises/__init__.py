"""Self-checks for the exercises: each takes the reader's own object and looks at what it does.

`verdict` has `check`, which readers call; `recipe`, `networks` and `costs` the checks; `answers` what these share;
`predictions` is for the small questions of notebooks 1 to 3.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"predictions": ["check_prediction"], "verdict": ["CHECKS", "check"]}
)
