"""Network in Network (Lin, Chen and Yan, 2013): the block, the network, and how its weights start."""

from collections import OrderedDict

import torch
from torch import nn

from nin_helpers.architecture import BLOCKS, FAMILY, HEADS, INITS, POOL, WIDTHS, last_feature_size
from nin_helpers.checks import check_choice, check_share, check_whole_number, check_whole_numbers
from nin_helpers.weight_files import PRETRAINED_FC, read_weights


def nin_block(in_channels, out_channels, kernel_size, stride=1, padding=0, *, num_pointwise=2, pointwise_kernel_size=1):
    """Return an NiN block: a convolution and `num_pointwise` per-pixel convolutions, each followed by a ReLU.

    x: (batch, in_channels, height, width) → (batch, out_channels, new height, new width); only the first convolution
    takes `kernel_size`, `stride` and `padding` and changes the size. `pointwise_kernel_size` is 1 in the paper; another
    odd one is padded by half, so that height and width stay.

    Raises ValueError naming the argument that is out of range. Source: arXiv 1312.4400, section 3.1 ("mlpconv").
    """
    for name, value, smallest in (
        ("in_channels", in_channels, 1),
        ("out_channels", out_channels, 1),
        ("kernel_size", kernel_size, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("num_pointwise", num_pointwise, 0),
        ("pointwise_kernel_size", pointwise_kernel_size, 1),
    ):
        check_whole_number(name, value, smallest)
    if pointwise_kernel_size % 2 == 0:
        raise ValueError(f"pointwise_kernel_size={pointwise_kernel_size} must be odd, or height and width would change")
    layers = [nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding), nn.ReLU()]
    for _ in range(num_pointwise):
        layers += [
            nn.Conv2d(out_channels, out_channels, pointwise_kernel_size, padding=pointwise_kernel_size // 2),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class NiN(nn.Sequential):
    """The textbook's NiN: three blocks with max pooling, dropout, a block with one map per class, and their mean.

    x: (batch, in_channels, height, width), float → logits (batch, num_classes). With the defaults and input_size=224
    it has 1,992,166 parameters, in the order convolution, 1 × 1, 1 × 1 per block, weight before bias.

    head: "gap" averages the class maps of block 4 (global average pooling), at any input size. In place of block 4 and
        its average, "fc" puts one fully connected layer on the flattened map of 384 channels, "fc3" AlexNet's three
        (4,096, 4,096, num_classes) with dropout between: these two work at `input_size` only.
    widths, depths: channels, and number of blocks, of the three stages that a max pooling ends; a stage's first block
        has the window and stride above, the others 3 × 3.
    reduction: channels of further 3 × 3 blocks between the dropout and block 4.
    num_pointwise, pointwise_kernel_size: the per-pixel layers of each block, as in `nin_block`.
    dropout: the probability of zeroing an element of the last feature map in training, 0 ≤ dropout < 1.
    init: "default" (PyTorch's own), "xavier", "kaiming", or "alive", with which every class starts with a gradient.
    final_relu: whether a ReLU follows the last layer of block 4, as in the paper's figure; without effect on "fc".
    batch_norm: adds a BatchNorm2d behind each convolution.
    input_size: height and width in pixels of the images that are coming.

    Raises ValueError naming the bad argument; for an input size that cannot work, the layer that breaks and the
    smallest size that would do. Sources: arXiv 1312.4400; Dive into Deep Learning, section 8.3.
    """

    def __init__(
        self,
        in_channels=1,
        num_classes=10,
        *,
        head="gap",
        widths=WIDTHS,
        depths=(1, 1, 1),
        reduction=(),
        num_pointwise=2,
        pointwise_kernel_size=1,
        dropout=0.5,
        init="xavier",
        final_relu=True,
        batch_norm=False,
        input_size=224,
    ):
        check_whole_number("in_channels", in_channels, 1)
        check_whole_number("num_classes", num_classes, 1)
        check_choice("head", head, HEADS)
        check_choice("init", init, INITS)
        check_choice("final_relu", final_relu, (True, False))
        check_choice("batch_norm", batch_norm, (True, False))
        check_share("dropout", dropout)
        check_whole_numbers("widths", widths, len(BLOCKS))
        check_whole_numbers("depths", depths, len(BLOCKS))
        check_whole_numbers("reduction", reduction)
        if reduction and head != "gap":
            raise ValueError(f"reduction={reduction!r} needs head='gap': head={head!r} has no block 4 to lead to")
        feature_size = last_feature_size(input_size)

        options = {"num_pointwise": num_pointwise, "pointwise_kernel_size": pointwise_kernel_size}
        layers, channels = OrderedDict(), in_channels
        for number, ((_, *window), width, depth) in enumerate(zip(BLOCKS, widths, depths), start=1):
            layers[f"block{number}"] = nin_block(channels, width, *window, **options)
            for repeat in range(2, depth + 1):
                layers[f"block{number}_{repeat}"] = nin_block(width, width, 3, padding=1, **options)
            layers[f"pool{number}"] = nn.MaxPool2d(*POOL)
            channels = width
        layers["dropout"] = nn.Dropout(dropout)
        for number, width in enumerate(reduction, start=1):
            layers[f"reduction{number}"] = nin_block(channels, width, 3, padding=1, **options)
            channels = width
        if head == "gap":
            block = nin_block(channels, num_classes, 3, padding=1, **options)
            layers["block4"] = block if final_relu else block[:-1]
            layers["gap"] = nn.AdaptiveAvgPool2d(1)
            layers["flatten"] = nn.Flatten()
        else:
            layers["flatten"] = nn.Flatten()
            features = channels * feature_size**2
            for number in (1, 2) if head == "fc3" else ():
                layers[f"fc{number}"] = nn.Sequential(nn.Linear(features, 4096), nn.ReLU(), nn.Dropout(dropout))
                features = 4096
            layers["fc"] = nn.Linear(features, num_classes)
        if batch_norm:
            layers = OrderedDict((name, _with_batch_norm(layer)) for name, layer in layers.items())
        super().__init__(layers)
        self.in_channels, self.num_classes, self.input_size, self.head = in_channels, num_classes, input_size, head
        initialise(self, init)

    def forward(self, x):
        """Return the logits (batch, num_classes) of the images x (batch, in_channels, height, width)."""
        self._check_input(x)
        return super().forward(x)

    def __getitem__(self, index):
        """Return one layer, or for a slice a plain nn.Sequential of the same layers, which is no whole NiN."""
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def _check_input(self, x):
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, but must be (batch, {self.in_channels}, height, width): "
                f"this network has in_channels={self.in_channels}"
            )
        if self.head != "gap" and tuple(x.shape[2:]) != (self.input_size, self.input_size):
            raise ValueError(
                f"x is {x.shape[2]} × {x.shape[3]} pixels, but a network with head={self.head!r} takes only its "
                f"input_size={self.input_size}; head='gap' takes any"
            )
        last_feature_size(min(x.shape[2:]))


def nin_family(name, **options):
    """Return the member `name` of a family of NiN-like networks, "A" (smallest) to "E"; "C" is NiN itself.

    Widths and depths are those of `FAMILY`, whose rule is VGG's: keep the stages, repeat blocks inside them. options:
    other arguments of `NiN`. Raises ValueError for another name.
    """
    check_choice("name", name, tuple(FAMILY))
    widths, depths = FAMILY[name]
    return NiN(widths=widths, depths=depths, **options)


def paper_nin(in_channels=3, num_classes=10, *, batch_norm=False):
    """Return the network that the paper measured on small pictures, as its authors released it for CIFAR-10.

    x: (batch, in_channels, height, width) → logits (batch, num_classes), the means of the class maps at any size; made
    for 32 × 32 pixels. 966,986 parameters for 3 channels and 10 classes. Three blocks with 1 × 1 layers that may narrow
    the maps, and dropout behind each pooling. The poolings count a window that reaches over the edge, as Caffe's do:
    32, 16 and 8 pixels. The text of the paper has two max poolings; in the released definition the second one averages.
    Weights start as PyTorch's. batch_norm: as in `NiN`. Source: arXiv 1312.4400, section 4.
    """
    plan = (in_channels, (192, 160, 96), 5), (96, (192, 192, 192), 5), (192, (192, 192, num_classes), 3)
    blocks = [_mlpconv(*block) for block in plan]
    if batch_norm:
        blocks = [_with_batch_norm(block) for block in blocks]
    layers = OrderedDict(block1=blocks[0], pool1=nn.MaxPool2d(3, 2, ceil_mode=True), dropout1=nn.Dropout(0.5))
    layers |= OrderedDict(block2=blocks[1], pool2=nn.AvgPool2d(3, 2, ceil_mode=True), dropout2=nn.Dropout(0.5))
    layers |= OrderedDict(block3=blocks[2], gap=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    return nn.Sequential(layers)


def _mlpconv(in_channels, widths, kernel_size):
    """Return a convolution that keeps the size and its 1 × 1 layers, of `widths` channels, each with a ReLU."""
    layers = []
    for width, k in zip(widths, (kernel_size, 1, 1)):
        layers += [nn.Conv2d(in_channels, width, k, padding=k // 2), nn.ReLU()]
        in_channels = width
    return nn.Sequential(*layers)


def load_pretrained(path=None):
    """Return a trained `NiN`, ready to predict: the one that comes with the package, or the one in the file `path`.

    The package's is the textbook's own network, trained on Fashion-MNIST; results/pretrained.json has its recipe and
    its accuracy. What else an answer needs, the classes and how pictures become numbers, comes with
    `prediction.load_classifier`. Raises as `weight_files.read_weights` does.
    """
    return from_weights(*read_weights(path))


def load_pretrained_fc(path=None):
    """Return the package's trained network with a fully connected head in place of block 4 and its average.

    path: a file with "fc.weight" and "fc.bias"; None: the package's, see results/pretrained_fc.json. All else is
    `load_pretrained`'s, so that the two differ in the head alone. Raises as `weight_files.read_weights` does.
    """
    head, about = read_weights(PRETRAINED_FC if path is None else path)
    body = {name: tensor for name, tensor in read_weights()[0].items() if not name.startswith("block4")}
    return from_weights(body | head, about)


def from_weights(tensors, about):
    """Return the `NiN`, ready to predict, in what `read_weights` returns: {name: tensor}, and what they are of."""
    with torch.device("meta"):
        model = NiN(**about["model"], init="default")
    in_full = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    model.load_state_dict(in_full, assign=True)
    return model.eval()


def _with_batch_norm(block):
    if not isinstance(block, nn.Sequential):
        return block
    layers = []
    for layer in block:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
    return nn.Sequential(*layers)


@torch.no_grad()
def initialise(model, init):
    """Set the weights of `model` in place and return it.

    "default": as PyTorch's layers start. "xavier": Glorot and Bengio (2010), uniform, biases as PyTorch's.
    "kaiming": He et al. (2015), normal, for ReLU, zero biases. "alive": "kaiming", and the block that makes the class
    maps starts in the linear part of its ReLUs, see `lift` and `make_copies`.
    """
    check_choice("init", init, INITS)
    if init == "default":
        return model
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if init == "xavier":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
    if init == "alive" and hasattr(model, "block4"):
        make_copies(model.block4)
        lift(model.block4)
    return model


def lift(block):
    """Start every map of the class block `block` well above 0, so that no class begins behind a closed ReLU.

    The first convolution lifts its maps by a bias of 4, about twice their spread. The lift is common to all classes, so
    softmax does not see it. Behind each batch normalisation its bias is the lift instead.
    """
    normalisations = [layer for layer in block if isinstance(layer, nn.BatchNorm2d)]
    for layer in normalisations or [block[0]]:
        nn.init.constant_(layer.bias, 4.0)


def make_copies(block):
    """Let the per-pixel layers of `block` start as copies: what comes in goes out, so that a lift gets through."""
    for layer in block[1:]:
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)
