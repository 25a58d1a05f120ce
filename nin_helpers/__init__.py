"""What the chapter "Network in Network" imports: the network, its arithmetic, data and training, what was measured.

| where | what |
|---|---|
| `nin`, `classics`, `architecture` | the block and the network; LeNet, AlexNet and VGG-11; NiN in numbers |
| `shapes`, `layer_table`, `resources` | convolution arithmetic; the table of any model; what a model costs |
| `labelled_images`, `pictures`, `datasets` | what a data set is; your own; Fashion-MNIST and its stand-in |
| `preprocessing` | from pictures, drawings and files to what a network takes |
| `weight_files`, `prediction` | weights with what is to be known of them; a trained network in use |
| `training` | recipes and profiles, the loop, checkpoints, several processes |
| `diagnostics`, `exercises` | why a network does not learn, where it looks; the checks of the exercises |
| `experiments` | what is measured over seeds, and the recorded results |
| `roofline`, `throughput` | how fast a chip and each layer can go; what a benchmark found |
| `plots`; `instruments`, `widgets` | the only room that draws figures; what the reader moves |
| `__main__` | the commands `python -m nin_helpers train`, `predict` and `experiment` |
| `checks`, `files`, `modes`, `hardware`, `provenance` | small things that the others share |

A recipe is defined in `training/config.py`, an experiment in `experiments/specs.py`. The names below come at their
first use, so that `import nin_helpers` imports no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "datasets": ["ImageData", "LabelledImages", "image_data", "load_data", "load_folder"],
        "nin": ["NiN", "load_pretrained", "load_pretrained_fc", "nin_block"],
        "training": ["TrainConfig", "make_config", "predict", "train"],
    },
)
