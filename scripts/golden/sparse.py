"""Sparse gradients in PyTorch 1.13.1: tables with `sparse=True` under SGD, Adagrad and SparseAdam, in float64, for test/integration/sparse.test.ts.

    /usr/bin/python3 scripts/golden/sparse.py         # Debian 12: apt-get install python3-torch (1.13)

128 rows in order, in batches of 8, once: row i has user (i i + 3 i) mod 23, item (5 i + i // 7) mod 17 and rating cos(0.7 i). The score is
the sum over j of user[j] item[j] c[j] with c = [1, -0.5, 0.25, 2]; the loss is the mean squared error. Tables start at 0.3 and 0.2 everywhere;
Adagrad's eps is large, because one gradient is 7e-12, which float32 cannot know.
"""
import json
from pathlib import Path

import torch

ROWS, BATCH, SIZES, WIDTH = 128, 8, [23, 17], 4
i = torch.arange(ROWS)
ids = [(i * i + 3 * i) % SIZES[0], (5 * i + i // 7) % SIZES[1]]
ratings = torch.cos(0.7 * i.double())
factors = torch.tensor([1, -0.5, 0.25, 2], dtype=torch.float64)
RULES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.3),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.2, eps=1e-2),
    "adam": lambda p: torch.optim.SparseAdam(p, lr=0.05, eps=1e-12),
}


def train(make):
    tables = [torch.nn.Embedding(size, WIDTH, sparse=True).double() for size in SIZES]
    for table, start in zip(tables, (0.3, 0.2)):
        torch.nn.init.constant_(table.weight, start)
    optimizer = make([table.weight for table in tables])
    for begin in range(0, ROWS, BATCH):
        batch = slice(begin, begin + BATCH)
        user, item = (table(own[batch]) for table, own in zip(tables, ids))
        optimizer.zero_grad()
        ((user * item * factors).sum(1) - ratings[batch]).square().mean().backward()
        optimizer.step()
    return [table.weight.detach().flatten().tolist() for table in tables]


golden = {"torch": torch.__version__, **{name: train(make) for name, make in RULES.items()}}
out = Path(__file__).parents[2] / "test/golden/sparse-pytorch-1.13.json"
out.write_text(json.dumps(golden, separators=(",", ":")).replace('],"', '],\n"') + "\n")
