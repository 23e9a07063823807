"""Golden values of PyTorch's recurrent layers in float64, for test/nn/recurrent.test.ts.

    /usr/bin/python3 scripts/golden/recurrent.py         # Debian 12: apt-get install python3-torch (1.13)

Parameter p (in PyTorch's order) has the elements 0.6 sin(1.7 i + p), x the elements cos(0.9 i); the loss is the sum of the results
times (i mod 7 - 3) / 4, over the results of the given kind. Padded rows go through pack_padded_sequence.
"""
import json
from pathlib import Path

import torch

ROWS, TIME, FEATURES, HIDDEN = 3, 5, 2, 6
CASES = [
    {"cell": cell, "layers": layers, "bidirectional": both, "lengths": lengths, "return": result, "bias": bias, **more}
    for cell, more in (("rnn", {}), ("rnn", {"activation": "relu"}), ("lstm", {}), ("gru", {}))
    for layers, both, lengths, result, bias in (
        (1, False, None, "last", True),
        (2, True, None, "sequence", False),
        (2, True, [5, 1, 3], "last", True),
        (1, True, [2, 4, 3], "sequence", True),
    )
]


def wave(shape, f):
    count = int(torch.tensor(shape).prod())
    return f(torch.arange(count, dtype=torch.float64)).reshape(shape)


def run(case):
    make = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[case["cell"]]
    more = {"nonlinearity": case["activation"]} if "activation" in case else {}
    layer = make(
        FEATURES, HIDDEN, case["layers"], bias=case["bias"], batch_first=True, bidirectional=case["bidirectional"], **more
    ).double()
    for p, (_, tensor) in enumerate(layer.named_parameters()):
        tensor.data = wave(tensor.shape, lambda i: 0.6 * torch.sin(1.7 * i + p))
    x = wave([ROWS, TIME, FEATURES], lambda i: torch.cos(0.9 * i)).requires_grad_()
    given = x
    if case["lengths"]:
        given = torch.nn.utils.rnn.pack_padded_sequence(x, case["lengths"], batch_first=True, enforce_sorted=False)
    y, state = layer(given)
    if case["lengths"]:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=TIME)
    if case["return"] == "last":
        h = state[0] if case["cell"] == "lstm" else state
        y = torch.cat(list(h[-2:]) if case["bidirectional"] else [h[-1]], dim=1)
    (y * wave(y.shape, lambda i: (i % 7 - 3) / 4)).sum().backward()
    # The sum of each gradient, plain and weighted, instead of all its elements.
    checks = {
        name: [p.grad.sum().item(), (p.grad * wave(p.shape, lambda i: torch.sin(0.7 * i))).sum().item()]
        for name, p in [*layer.named_parameters(), ("x", x)]
    }
    return {**case, "output": y.detach().flatten().tolist(), "gradients": checks}


golden = {"torch": torch.__version__, "sizes": [ROWS, TIME, FEATURES, HIDDEN], "cases": [run(case) for case in CASES]}
out = Path(__file__).parents[2] / "test/golden/recurrent-pytorch-1.13.json"
out.write_text(json.dumps(golden, indent=None, separators=(",", ":")).replace('{"cell"', '\n{"cell"') + "\n")
