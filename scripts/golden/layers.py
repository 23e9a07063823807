"""Golden values of layers in float64, for test/nn/golden.test.ts: convolution, pooling (windows and global), embedding, positions, RMS
normalisation, as users call them, with bias and activation.

    /usr/bin/python3 scripts/golden/layers.py         # Debian 12: apt-get install python3-torch (1.13)

A case names a layer of Lockstep, its arguments and the shape of its input; modules of PyTorch compute it. What 1.13 lacks is written out:
RMS normalisation, 'same' for transposed convolution (its full result, cut) and learned positions. Images and sequences have their channels
last, weights are [window..., in, out]. Parameter p has the elements 0.6 sin(1.7 i + p); x is cos(0.9 i), to halves where there are ties; ids are
5 i + i // 3 modulo the size of the table; the loss is the sum of the results times (i mod 7 - 3) / 4.
"""
import json
from pathlib import Path

import torch
from torch import nn

ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


def wave(shape, f):
    count = int(torch.tensor(shape).prod())
    return f(torch.arange(count, dtype=torch.float64)).reshape(shape)


def first(x):  # channels last -> first
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def call(module, parameters, x):
    return nn.utils.stateless.functional_call(module.double(), parameters, x)


def filters(make, weight):
    """A convolution of PyTorch with Lockstep's parameters; `weight` and bias are their shapes here."""

    def run(own, x):
        axes = own["weight"].dim() - 2
        order = [axes + 1, axes, *range(axes)]  # [out, in, window...]; ours is transposed for transposed ones already
        inner = {"weight": own["weight"].permute(order), **({"bias": own["bias"]} if "bias" in own else {})}
        return last(call(make, inner, first(x)))

    return run, {"weight": weight, **({"bias": [make.out_channels]} if make.bias is not None else {})}


def pool(make):
    return lambda own, x: last(make.double()(first(x))), {}


def globally(make):
    return lambda own, x: make.double()(first(x)).flatten(1), {}


def cut_transposed(own, x, stride, before):
    """Transposed convolution without padding, of which size * stride elements are kept."""
    weight = own["weight"].permute(3, 2, 0, 1)
    whole = nn.functional.conv_transpose2d(first(x), weight, own["bias"], stride)
    height, width = (n * stride for n in x.shape[1:3])
    return last(whole[:, :, before : before + height, before : before + width])


def embedded(size, width):
    make = nn.Embedding(size, width)
    return lambda own, ids: call(make, {"weight": own["weight"]}, ids), {"weight": [size, width]}


def rms(own, x, epsilon):
    return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt() * own["weight"] + own.get("bias", 0)


CASES = [
    ("conv2d", [4, [3, 2], "relu", {"stride": 2, "padding": [1, 0], "dilation": [1, 2]}], [2, 7, 6, 3],
     filters(nn.Conv2d(3, 4, (3, 2), 2, (1, 0), (1, 2)), [3, 2, 3, 4])),
    ("conv2d", [3, [2, 4], "tanh", {"padding": "same"}], [2, 5, 6, 2], filters(nn.Conv2d(2, 3, (2, 4), padding="same"), [2, 4, 2, 3])),
    ("conv2d", [4, 3, "linear", {"padding": "same", "dilation": 2, "groups": 2, "bias": False}], [1, 6, 5, 4],
     filters(nn.Conv2d(4, 4, 3, padding="same", dilation=2, groups=2, bias=False), [3, 3, 2, 4])),
    ("depthwiseConv2d", [3, "gelu", {"multiplier": 2, "stride": 2, "padding": 1}], [2, 6, 5, 3],
     filters(nn.Conv2d(3, 6, 3, 2, 1, groups=3), [3, 3, 1, 6])),
    ("conv1d", [4, 3, "linear", {"padding": "same", "dilation": 2, "groups": 2}], [2, 9, 4],
     filters(nn.Conv1d(4, 4, 3, padding="same", dilation=2, groups=2), [3, 2, 4])),
    ("convTranspose2d", [3, 3, "tanh", {"stride": 2, "padding": 1, "outputPadding": 1}], [2, 4, 3, 2],
     filters(nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), [3, 3, 3, 2])),
    ("convTranspose2d", [4, [2, 3], "linear", {"stride": [1, 2], "dilation": [2, 1], "groups": 2}], [1, 3, 4, 4],
     filters(nn.ConvTranspose2d(4, 4, (2, 3), (1, 2), groups=2, dilation=(2, 1)), [2, 3, 2, 4])),
    ("convTranspose2d", [3, 3, "linear", {"stride": 2, "padding": "same"}], [2, 3, 4, 2],
     (lambda own, x: cut_transposed(own, x, 2, 0), {"weight": [3, 3, 3, 2], "bias": [3]})),
    ("convTranspose2d", [2, 4, "linear", {"stride": 2, "padding": "same"}], [1, 4, 3, 3],
     (lambda own, x: cut_transposed(own, x, 2, 1), {"weight": [4, 4, 2, 3], "bias": [2]})),
    ("maxPool2d", [3, {"stride": 2, "padding": 1}], [2, 7, 6, 3], pool(nn.MaxPool2d(3, 2, 1))),
    ("maxPool2d", [2], [2, 6, 8, 2], pool(nn.MaxPool2d(2)), "ties"),
    ("maxPool1d", [3, {"stride": 1, "padding": 1}], [2, 9, 4], pool(nn.MaxPool1d(3, 1, 1)), "ties"),
    ("avgPool2d", [[3, 2], {"stride": [2, 1], "padding": 1}], [2, 7, 6, 3], pool(nn.AvgPool2d((3, 2), (2, 1), 1, count_include_pad=False))),
    ("avgPool1d", [3, {"padding": 1}], [2, 9, 4], pool(nn.AvgPool1d(3, padding=1, count_include_pad=False))),
    ("globalAvgPool", [], [2, 4, 5, 3], globally(nn.AdaptiveAvgPool2d(1))),
    ("globalAvgPool", [], [2, 7, 3], globally(nn.AdaptiveAvgPool1d(1))),
    ("globalMaxPool", [], [2, 4, 5, 3], globally(nn.AdaptiveMaxPool2d(1))),
    ("globalMaxPool", [], [2, 7, 3], globally(nn.AdaptiveMaxPool1d(1))),
    ("globalMaxPool", [], [2, 4, 5, 3], (lambda own, x: x.amax((1, 2)), {}), "ties"),
    ("embedding", [7, 4], [3, 5], embedded(7, 4), "ids"),
    ("positions", [6], [2, 4, 3], (lambda own, x: x + own["weight"][:4], {"weight": [6, 3]})),
    ("rmsNorm", [{"epsilon": 1e-3}], [2, 4, 6], (lambda own, x: rms(own, x, 1e-3), {"weight": [6]})),
    ("rmsNorm", [{"bias": True}], [3, 5], (lambda own, x: rms(own, x, 1e-5), {"weight": [5], "bias": [5]})),
]


def case(layer, args, shape, compute, given="numbers"):
    run, shapes = compute
    own = {
        name: wave(shape, lambda i: 0.6 * torch.sin(1.7 * i + p)).requires_grad_() for p, (name, shape) in enumerate(shapes.items())
    }
    if given == "ids":
        x = wave(shape, lambda i: (5 * i + i // 3) % args[0]).long()
    else:
        x = wave(shape, lambda i: torch.cos(0.9 * i))
        x = ((2 * x).round() / 2 if given == "ties" else x).requires_grad_()
    y = run(own, x)
    y = ACTIVATIONS[next((a for a in args if isinstance(a, str)), "linear")]()(y)
    (y * wave(y.shape, lambda i: (i % 7 - 3) / 4)).sum().backward()
    leaves = {**own, **({} if given == "ids" else {"x": x})}
    # The sum of each gradient, plain and weighted, instead of all its elements.
    checks = {
        name: [p.grad.sum().item(), (p.grad * wave(p.shape, lambda i: torch.sin(0.7 * i))).sum().item()]
        for name, p in leaves.items()
    }
    return {
        "layer": layer, "args": args, "x": shape, "given": given, "shape": list(y.shape), "output": y.detach().flatten().tolist(),
        "gradients": checks,
    }


golden = {"torch": torch.__version__, "cases": [case(*c) for c in CASES]}
out = Path(__file__).parents[2] / "test/golden/layers-pytorch-1.13.json"
out.write_text(json.dumps(golden, separators=(",", ":")).replace('{"layer"', '\n{"layer"') + "\n")
