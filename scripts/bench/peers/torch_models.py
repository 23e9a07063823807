"""The workloads' models in PyTorch, each with a `load` that takes Lockstep's weights: a list of (name, tensor) in order."""
import torch
import torch.nn.functional as F
from torch import nn


def dense_weight(weight):
    """Lockstep stores [in, out]."""
    return weight.t()


def conv_weight(weight, out):
    """[out, in, height, width] of what Lockstep stores: that, or [height, width, in, out]."""
    return weight if weight.shape[0] == out else weight.permute(3, 2, 0, 1)


class Dense(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        layers = []
        for i in range(len(sizes) - 1):
            if i > 0:
                layers.append(nn.ReLU(inplace=True))
            layers.append(nn.Linear(sizes[i], sizes[i + 1]))
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)

    def load(self, weights):
        values = iter(value for _, value in weights)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(dense_weight(next(values)))
                layer.bias.copy_(next(values))


class Cnn(nn.Module):
    def __init__(self, shape, channels, units, classes):
        super().__init__()
        self.height, self.width, depth = shape
        self.depth = depth
        self.conv1 = nn.Conv2d(depth, channels[0], 3, padding=1)
        self.conv2 = nn.Conv2d(channels[0], channels[1], 3, padding=1)
        self.fc1 = nn.Linear(self.height // 4 * (self.width // 4) * channels[1], units)
        self.fc2 = nn.Linear(units, classes)

    def forward(self, x):
        x = x.view(-1, self.depth, self.height, self.width)
        x = F.max_pool2d(F.relu(self.conv1(x), inplace=True), 2)
        x = F.max_pool2d(F.relu(self.conv2(x), inplace=True), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1)), inplace=True))

    def load(self, weights):
        """Lockstep flattens [height, width, channels], PyTorch [channels, height, width]."""
        w = dict(weights)
        for name in ("conv1", "conv2"):
            conv = getattr(self, name)
            conv.weight.copy_(conv_weight(w[f"{name}/weight"], conv.out_channels))
            conv.bias.copy_(w[f"{name}/bias"])
        fc1 = w["fc1/weight"].view(self.height // 4, self.width // 4, self.conv2.out_channels, -1).permute(3, 2, 0, 1)
        self.fc1.weight.copy_(fc1.reshape(self.fc1.weight.shape))
        self.fc2.weight.copy_(dense_weight(w["fc2/weight"]))
        for name in ("fc1", "fc2"):
            getattr(self, name).bias.copy_(w[f"{name}/bias"])


class Lstm(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x):
        _, (last, _) = self.lstm(x)
        return self.out(last[0])

    def load(self, weights):
        """The recurrent weights have PyTorch's own names and shapes."""
        w = dict(weights)
        for name, parameter in self.lstm.named_parameters():
            parameter.copy_(w[f"lstm/{name}"])
        self.out.weight.copy_(dense_weight(w["out/weight"]))
        self.out.bias.copy_(w["out/bias"])


class Block(nn.Module):
    def __init__(self, width, heads, positions):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        mask = torch.full((positions, positions), float("-inf")).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        rows, positions, width = x.shape
        q, k, v = (
            part.view(rows, positions, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(width, dim=2)
        )
        scores = torch.baddbmm(
            self.mask,
            q.reshape(rows * self.heads, positions, -1),
            k.reshape(rows * self.heads, positions, -1).transpose(1, 2),
            alpha=(width // self.heads) ** -0.5,
        )
        mixed = scores.softmax(-1) @ v.reshape(rows * self.heads, positions, -1)
        mixed = mixed.view(rows, self.heads, positions, -1).transpose(1, 2).reshape(rows, positions, width)
        x = x + self.project(mixed)
        return x + self.down(F.gelu(self.up(self.norm2(x))))

    def load(self, w, path):
        for name in ("norm1", "norm2"):
            norm = getattr(self, name)
            norm.weight.copy_(w[f"{path}/{name}/weight"])
            norm.bias.copy_(w[f"{path}/{name}/bias"])
        for name, theirs in (("qkv", "attention/qkv"), ("project", "attention/project"), ("up", "up"), ("down", "down")):
            layer = getattr(self, name)
            layer.weight.copy_(dense_weight(w[f"{path}/{theirs}/weight"]))
            layer.bias.copy_(w[f"{path}/{theirs}/bias"])


class Gpt(nn.Module):
    def __init__(self, vocabulary, positions, layers, heads, width):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.zeros(positions, width))
        self.blocks = nn.ModuleList(Block(width, heads, positions) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        h = self.tokens(x) + self.positions
        for block in self.blocks:
            h = block(h)
        return F.linear(self.norm(h), self.tokens.weight)

    def load(self, weights):
        w = dict(weights)
        self.tokens.weight.copy_(w["tokens/weight"])
        self.positions.copy_(w["positions/weight"])
        self.norm.weight.copy_(w["norm/weight"])
        self.norm.bias.copy_(w["norm/bias"])
        for i, block in enumerate(self.blocks):
            block.load(w, f"block{i}")


def build(spec, shape):
    """The model of a workload for rows of this shape."""
    kind = spec["kind"]
    if kind == "dense":
        return Dense(spec["sizes"])
    if kind == "cnn":
        return Cnn(shape, spec["channels"], spec["units"], spec["classes"])
    if kind == "lstm":
        return Lstm(shape[1], spec["hidden"], spec["classes"])
    if kind == "gpt":
        return Gpt(spec["vocabulary"], shape[0], spec["layers"], spec["heads"], spec["width"])
    raise ValueError(f"PyTorch: no model of kind {kind}")
