"""Values and gradients of convolutions and pooling in PyTorch 1.13.1, float64: makes test/golden/convolution-pytorch-1.13.json.

    python3 scripts/golden/convolution.py

Images and weights are given and stored as Lockstep has them: channels last, weights [window, window, in, out]. Element i of
tensor number s is ((7919 i + 104729 (s + 1)) mod 1024) / 512 - 1 (exact in float32); the loss is the sum of the result times such numbers.
"""
import json
import os
import torch
import torch.nn.functional as F

torch.manual_seed(0)


def numbers(shape, s):
    n = 1
    for d in shape:
        n *= d
    values = [((7919 * i + 104729 * (s + 1)) % 1024) / 512 - 1 for i in range(n)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def first(x):  # channels last -> first
    return x.permute(0, x.dim() - 1, *range(1, x.dim() - 1))


def last(x):
    return x.permute(0, *range(2, x.dim()), 1)


def weight(w):  # [window..., in, out] -> [out, in, window...]
    return w.permute(w.dim() - 1, w.dim() - 2, *range(w.dim() - 2))


CONVS = [
    # op, x, w, stride, padding, dilation, groups
    ('conv2d', [2, 6, 7, 3], [3, 3, 3, 4], [1, 1], 'same', [1, 1], 1),
    ('conv2d', [2, 7, 6, 2], [3, 2, 2, 5], [2, 1], [1, 0], [1, 2], 1),
    ('conv2d', [1, 8, 8, 1], [3, 3, 1, 6], [1, 1], [1, 1], [1, 1], 1),
    ('conv2d', [2, 5, 5, 6], [3, 3, 2, 6], [1, 1], [1, 1], [1, 1], 3),
    ('conv2d', [2, 6, 6, 5], [3, 3, 1, 5], [2, 2], [1, 1], [1, 1], 5),
    ('conv2d', [1, 5, 6, 3], [2, 3, 1, 6], [1, 1], 'valid', [1, 1], 3),
    ('conv2d', [2, 4, 4, 4], [1, 1, 4, 3], [1, 1], 'valid', [1, 1], 1),
    ('conv1d', [2, 9, 3], [4, 3, 5], [2], [1], [1], 1),
    ('convTranspose2d', [2, 4, 3, 3], [3, 3, 2, 3], [2, 2], [1, 1], [1, 1], 1),
    ('convTranspose2d', [1, 3, 3, 4], [2, 2, 2, 4], [2, 3], [0, 0], [1, 1], 2),
]
POOLS = [
    # op, x, size, stride, padding
    ('maxPool2d', [2, 6, 8, 5], [2, 2], [2, 2], [0, 0]),
    ('maxPool2d', [2, 7, 6, 3], [3, 3], [2, 2], [1, 1]),
    ('avgPool2d', [2, 6, 8, 5], [2, 2], [2, 2], [0, 0]),
    ('avgPool2d', [2, 7, 6, 3], [3, 2], [2, 1], [1, 1]),
    ('maxPool1d', [2, 9, 4], [3], [2], [1]),
    ('avgPool1d', [2, 9, 4], [3], [2], [1]),
]


def conv(op, x, w, stride, padding, dilation, groups):
    if op == 'conv2d':
        return last(F.conv2d(first(x), weight(w), None, stride, padding, dilation, groups))
    if op == 'conv1d':
        return last(F.conv1d(first(x), weight(w), None, stride, padding, dilation, groups))
    # PyTorch: [in, out / groups, window...]; ours [window..., out / groups, in]
    return last(F.conv_transpose2d(first(x), weight(w), None, stride, padding, 0, groups, dilation))


def pool(op, x, size, stride, padding):
    if op.startswith('max'):
        f = F.max_pool2d if op == 'maxPool2d' else F.max_pool1d
        return last(f(first(x), size, stride, padding))
    f = F.avg_pool2d if op == 'avgPool2d' else F.avg_pool1d
    return last(f(first(x), size, stride, padding, count_include_pad=False))


def flat(x):
    return [float('%.15g' % v) for v in x.contiguous().reshape(-1).tolist()]


cases = []
for op, xs, ws, stride, padding, dilation, groups in CONVS:
    x, w = numbers(xs, 0).requires_grad_(), numbers(ws, 1).requires_grad_()
    y = conv(op, x, w, stride, padding, dilation, groups)
    (y * numbers(list(y.shape), 2)).sum().backward()
    cases.append({'op': op, 'x': xs, 'w': ws, 'stride': stride, 'padding': padding, 'dilation': dilation, 'groups': groups,
                  'shape': list(y.shape), 'y': flat(y), 'dx': flat(x.grad), 'dw': flat(w.grad)})
for op, xs, size, stride, padding in POOLS:
    x = numbers(xs, 0).requires_grad_()
    y = pool(op, x, size, stride, padding)
    (y * numbers(list(y.shape), 2)).sum().backward()
    cases.append({'op': op, 'x': xs, 'size': size, 'stride': stride, 'padding': padding,
                  'shape': list(y.shape), 'y': flat(y), 'dx': flat(x.grad)})

path = os.path.join(os.path.dirname(__file__), '../../test/golden/convolution-pytorch-1.13.json')
with open(path, 'w') as file:
    file.write('[\n' + ',\n'.join(json.dumps(case, separators=(',', ':')) for case in cases) + '\n]\n')
