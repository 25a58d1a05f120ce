"""Figures: the only modules that import matplotlib. Each function takes plain numbers and arrays, and draws one figure.

`look` is what they have in common; `runs` draws trainings, `costs` what a network costs, `images` images and their
maps, `drawings` the idea and stacks of layers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "costs": ["plot_bars", "plot_costs", "plot_roofline", "plot_trace", "plot_tradeoff"],
        "drawings": ["plot_idea", "plot_networks"],
        "images": ["plot_confusion", "show_images", "show_maps"],
        "look": ["COLOURS", "LOOK", "STYLES", "redraw", "save", "show"],
        "runs": [
            "LivePlot",
            "plot_curves",
            "plot_followers",
            "plot_history",
            "plot_layer_spread",
            "plot_losses",
            "plot_runs",
            "plot_search",
        ],
    },
)
