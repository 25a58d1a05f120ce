"""Self-checks for the exercises: each takes the reader's own object and looks at what it does.

`verdict` has `check`, which readers call; `recipe`, `networks` and `costs` the checks; `answers` what these share.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"verdict": ["CHECKS", "check"]})
