"""Lay beside the pages what answers there: the trained networks as ONNX, and what runs them in a browser.

`python tools/export_networks.py FOLDER` needs what npm installs, and no PyTorch: the graphs are built from the files of
weights, which stay in 16 bits and are widened when loaded. Without npm the pages do without, and say so.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.numpy import load_file

from nin_helpers.architecture import BLOCKS, CLASS_WINDOW, POOL

ROOT = Path(__file__).resolve().parent.parent
NIN, FC_HEAD = (ROOT / "nin_helpers" / "weights" / f"{name}.safetensors" for name in ("nin_fashion_mnist", "fc_head"))
RUNTIME = ROOT / "node_modules" / "onnxruntime-web" / "dist"
WASM = "ort-wasm-simd-threaded.wasm"
WINDOWS = [*(window for _, *window in BLOCKS), CLASS_WINDOW]  # (kernel_size, stride, padding) of the four blocks


class Graph:
    """Nodes one behind another; those with a name can be asked for."""

    def __init__(self, tensors, *shape):
        self.tensors, self.last, self.nodes, self.weights, self.outputs = tensors, "x", [], [], []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)

    def add(self, kind, *weights, name=None, rank=4, **attributes):
        """Put a node behind the last one, with the tensors of these names as its further inputs."""
        inputs = [self.last, *map(self.widened, weights)]
        self.last = name or f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.last], **attributes))
        if name:
            self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank))

    def widened(self, name):
        """Store a tensor as the file has it, and return the name of the same in 32 bits."""
        self.weights.append(numpy_helper.from_array(self.tensors[name], name))
        self.nodes.append(helper.make_node("Cast", [name], [f"{name}.32"], to=TensorProto.FLOAT))
        return f"{name}.32"

    def write(self, path):
        """Write the graph to `path`, once it has been checked."""
        graph = helper.make_graph(self.nodes, path.stem, [self.input], self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def nin(tensors):
    """Return the `Graph` from x (1, 1, height, width) to "logits" (1, classes), "features" and maps on the way.

    "features" is what a fully connected head gets; "blockN.before" and "blockN.after" are the maps before and after the
    1 × 1 layers of block N, each behind its ReLU. Those of block 4 are the class maps, whose means are the logits.
    """
    graph = Graph(tensors, 1, 1, None, None)
    for number, (kernel_size, stride, padding) in enumerate(WINDOWS, start=1):
        window = {"kernel_shape": [kernel_size] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
        for layer, options, name in ((0, window, "before"), (2, {}, None), (4, {}, "after")):
            graph.add("Conv", *weights(f"block{number}.{layer}"), **options)
            graph.add("Relu", name=name and f"block{number}.{name}")
        if number < len(WINDOWS):
            size, stride = POOL
            last = "features" if number == len(BLOCKS) else None
            graph.add("MaxPool", name=last, kernel_shape=[size] * 2, strides=[stride] * 2)
    graph.add("GlobalAveragePool")
    graph.add("Flatten", name="logits", rank=2)
    return graph


def fc_head(tensors):
    """Return the `Graph` from `nin`'s features, at the one size that it takes, to "logits" (1, classes)."""
    graph = Graph(tensors, 1, None, None, None)
    graph.add("Flatten")
    graph.add("Gemm", *weights("fc"), name="logits", rank=2, transB=1)
    return graph


def weights(layer):
    """Return the names of a layer's tensors."""
    return f"{layer}.weight", f"{layer}.bias"


def main(folder):
    """Write the networks, what runs them and networks.json, which describes them, into `folder`; return 0 or 1."""
    if not install():
        return 1 if os.environ.get("CI") else 0
    folder = Path(folder)
    folder.mkdir(parents=True)
    nin(load_file(NIN)).write(folder / "nin.onnx")
    fc_head(load_file(FC_HEAD)).write(folder / "fc_head.onnx")
    for source in (RUNTIME / WASM, RUNTIME / "ort.wasm.bundle.min.mjs"):
        shutil.copy(source, folder)
    shutil.copy(ROOT / "site" / "network-worker.js", folder / "worker.js")
    (folder / "networks.json").write_text(json.dumps(describe(folder)), encoding="utf-8")
    return 0


def install():
    """Let npm install what package-lock.json names, and return whether it is there."""
    if not shutil.which("npm"):
        print("npm is not there: on these pages the trained network does not run", file=sys.stderr)
        return False
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=ROOT, check=True)
    return True


def describe(folder):
    """Return the bytes of what a page fetches, and how a picture becomes what the networks take."""
    with safe_open(NIN, "numpy") as file:
        config = json.loads(file.metadata()["nin_helpers"])["config"]
    sizes = {name: (folder / name).stat().st_size for name in (WASM, "nin.onnx", "fc_head.onnx")}
    return {"files": sizes, **{key: config[key] for key in ("size", "mean", "std")}}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
