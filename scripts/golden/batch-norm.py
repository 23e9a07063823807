"""Batch normalisation in PyTorch 1.13.1, float64: makes test/golden/batch-norm-pytorch-1.13.json.

    python3 scripts/golden/batch-norm.py

Element i of tensor number s is ((7919 i + 104729 (s + 1)) mod 1024) / 512 - 1 (exact in float32). A case has x (0), weight (1), bias (2) and a
running mean (3) and variance (4, plus 1.5); the loss is the sum of the result times tensor 5. `axis` is that of the channels; PyTorch
has them at axis 1. `running` is a layer over three equal batches.
"""
import json
import os
import torch
import torch.nn.functional as F

CASES = [
    # shape, axis, epsilon
    ([6, 7], 1, 1e-5),
    ([5, 3], 1, 1e-3),
    ([2, 3, 4, 5], 3, 1e-5),
    ([2, 3, 4, 5], 1, 1e-5),
    ([3, 9, 16], 2, 1e-2),
]


def numbers(shape, s):
    n = 1
    for d in shape:
        n *= d
    values = [((7919 * i + 104729 * (s + 1)) % 1024) / 512 - 1 for i in range(n)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def case(shape, axis, epsilon):
    channels = [shape[axis]]
    x = numbers(shape, 0).requires_grad_()
    weight = numbers(channels, 1).requires_grad_()
    bias = numbers(channels, 2).requires_grad_()
    mean, variance = numbers(channels, 3), numbers(channels, 4) + 1.5
    first = lambda t: t.movedim(axis, 1)
    y = F.batch_norm(first(x), None, None, weight, bias, True, 0.1, epsilon).movedim(1, axis)
    (y * numbers(shape, 5)).sum().backward()
    evaluated = F.batch_norm(first(x.detach()), mean, variance, weight.detach(), bias.detach(), False, 0.1, epsilon).movedim(1, axis)
    flat = lambda t: t.detach().reshape(-1).tolist()
    return {
        'shape': shape, 'axis': axis, 'epsilon': epsilon, 'y': flat(y), 'dx': flat(x.grad), 'dWeight': flat(weight.grad),
        'dBias': flat(bias.grad), 'evaluated': flat(evaluated),
    }


def running():
    shape, momentum, steps = [12, 5], 0.3, 3
    layer = torch.nn.BatchNorm1d(5, momentum=momentum).double()
    for _ in range(steps):
        layer(numbers(shape, 6))
    return {
        'shape': shape, 'momentum': momentum, 'steps': steps, 'mean': layer.running_mean.tolist(), 'variance': layer.running_var.tolist(),
    }


out = os.path.join(os.path.dirname(__file__), '..', '..', 'test', 'golden', 'batch-norm-pytorch-1.13.json')
with open(out, 'w') as file:
    json.dump({'torch': torch.__version__, 'cases': [case(*c) for c in CASES], 'running': running()}, file)
    file.write('\n')
