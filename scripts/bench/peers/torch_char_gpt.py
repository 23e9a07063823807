"""The recipe of examples/char-gpt.ts in PyTorch: nanoGPT's train_shakespeare_char.py with its options for CPUs.

    OMP_NUM_THREADS=1 /usr/bin/python3 scripts/bench/peers/torch_char_gpt.py TEXT [--lr 1e-3] [--seed 1337]

Prints, every 500 iterations, the validation loss over all of the last tenth (as Lockstep's `val.loss`), and five of nanoGPT's own
estimates: each the mean over 20 random batches.
"""
import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

LENGTH, LAYERS, HEADS, WIDTH, BATCH, STEPS, WARMUP = 64, 4, 4, 128, 12, 2000, 100


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.Parameter(torch.ones(WIDTH)), nn.Parameter(torch.ones(WIDTH))
        self.qkv, self.project = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)
        self.register_buffer("hidden", torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, x):
        rows, length, _ = x.shape
        q, k, v = (
            part.view(rows, length, HEADS, -1).transpose(1, 2) for part in self.qkv(norm(x, self.norm1)).split(WIDTH, 2)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
        mixed = scores.masked_fill(self.hidden[:length, :length], float("-inf")).softmax(-1) @ v
        x = x + self.project(mixed.transpose(1, 2).reshape(rows, length, WIDTH))
        return x + self.down(F.gelu(self.up(norm(x, self.norm2))))


class Gpt(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(WIDTH))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, 0, 0.02)
        for block in self.blocks:
            for layer in (block.project, block.down):
                nn.init.normal_(layer.weight, 0, 0.02 / math.sqrt(2 * LAYERS))

    def forward(self, x):
        h = self.tokens(x) + self.positions(torch.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return norm(h, self.norm) @ self.tokens.weight.t()


def norm(x, weight):
    return F.layer_norm(x, (WIDTH,), weight, None, 1e-5)


def loss_of(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def draw(data):
    starts = torch.randint(len(data) - LENGTH, (BATCH,))
    return torch.stack([data[i : i + LENGTH] for i in starts]), torch.stack([data[i + 1 : i + 1 + LENGTH] for i in starts])


@torch.no_grad()
def evaluate(model, data):
    rows = (len(data) - 1) // LENGTH
    x, y = data[: rows * LENGTH].view(rows, LENGTH), data[1 : rows * LENGTH + 1].view(rows, LENGTH)
    parts = zip(x.split(64), y.split(64))
    whole = sum(loss_of(model, a, b).item() * len(a) for a, b in parts) / rows
    samples = [sum(loss_of(model, *draw(data)).item() for _ in range(20)) / 20 for _ in range(5)]
    return whole, samples


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("text")
    arguments.add_argument("--lr", type=float, default=1e-3)
    arguments.add_argument("--seed", type=int, default=1337)
    options = arguments.parse_args()
    torch.manual_seed(options.seed)
    text = open(options.text, encoding="utf8").read()
    places = {c: i for i, c in enumerate(sorted(set(text)))}
    data = torch.tensor([places[c] for c in text])
    train, validation = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]
    model = Gpt(len(places))
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.99), foreach=True)
    for step in range(STEPS + 1):
        cosine = 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))
        lr = options.lr * step / WARMUP if step < WARMUP else 1e-4 + cosine * (options.lr - 1e-4)
        for group in optimizer.param_groups:
            group["lr"] = lr
        if step % 500 == 0:
            whole, samples = evaluate(model, validation)
            print(f"step {step}: {whole:.4f}; estimates {', '.join(f'{s:.3f}' for s in samples)}", flush=True)
        optimizer.zero_grad(set_to_none=True)
        loss_of(model, *draw(train)).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


if __name__ == "__main__":
    main()
