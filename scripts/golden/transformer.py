"""Golden values of PyTorch's attention and normalisation layers in float64, for test/nn/transformer.test.ts; and of
whole small decoders: embedding, learned or rotary positions, pre-norm residual blocks, tied output, cross-entropy that a mask thins.
RMS normalisation and rotary positions, which 1.13 lacks, are written out.

    /usr/bin/python3 scripts/golden/transformer.py         # Debian 12: apt-get install python3-torch (1.13)

Parameter p of a case, in Lockstep's layout and order, has the elements 0.6 sin(1.7 i + p); x is cos(0.9 i), the context sin(1.1 i);
the loss is the sum of the results times (i mod 7 - 3) / 4. Masks name the keys that are seen. Decoders have the ids 7 i + 3 and the
labels 5 i + 2 (mod 11); every third label does not count.
"""
import json
from pathlib import Path

import torch
from torch import nn

ROWS, POSITIONS, WIDTH, KEYS, CONTEXT, HEADS = 2, 5, 6, 4, 3, 2


def wave(shape, f):
    count = int(torch.tensor(shape).prod())
    return f(torch.arange(count, dtype=torch.float64)).reshape(shape)


def parameters(shapes):
    return {
        name: wave(shape, lambda i: 0.6 * torch.sin(1.7 * i + p)).requires_grad_()
        for p, (name, shape) in enumerate(shapes.items())
    }


def finish(case, y, leaves):
    (y * wave(y.shape, lambda i: (i % 7 - 3) / 4)).sum().backward()
    # The sum of each gradient, plain and weighted, instead of all its elements.
    checks = {
        name: [p.grad.sum().item(), (p.grad * wave(p.shape, lambda i: torch.sin(0.7 * i))).sum().item()]
        for name, p in leaves.items()
    }
    return {**case, "output": y.detach().flatten().tolist(), "gradients": checks}


def attention(case):
    x = wave([ROWS, POSITIONS, WIDTH], lambda i: torch.cos(0.9 * i)).requires_grad_()
    mask = case["mask"] and torch.tensor(case["mask"]) == 0
    layer = nn.MultiheadAttention(
        WIDTH, HEADS, batch_first=True, **({"kdim": CONTEXT, "vdim": CONTEXT} if case["cross"] else {})
    ).double()
    for p in layer.parameters():
        p.requires_grad_(False)
    if case["cross"]:
        context = wave([ROWS, KEYS, CONTEXT], lambda i: torch.sin(1.1 * i)).requires_grad_()
        own = parameters({
            "query/weight": [WIDTH, WIDTH], "query/bias": [WIDTH], "context/weight": [CONTEXT, 2 * WIDTH],
            "context/bias": [2 * WIDTH], "project/weight": [WIDTH, WIDTH], "project/bias": [WIDTH],
        })
        inner = {
            "q_proj_weight": own["query/weight"].t(), "k_proj_weight": own["context/weight"][:, :WIDTH].t(),
            "v_proj_weight": own["context/weight"][:, WIDTH:].t(), "in_proj_bias": torch.cat([own["query/bias"], own["context/bias"]]),
        }
    else:
        context = x
        own = parameters({
            "qkv/weight": [WIDTH, 3 * WIDTH], "qkv/bias": [3 * WIDTH], "project/weight": [WIDTH, WIDTH], "project/bias": [WIDTH],
        })
        inner = {"in_proj_weight": own["qkv/weight"].t(), "in_proj_bias": own["qkv/bias"]}
    inner |= {"out_proj.weight": own["project/weight"].t(), "out_proj.bias": own["project/bias"]}
    causal = torch.full((POSITIONS, POSITIONS), float("-inf"), dtype=torch.float64).triu(1) if case["causal"] else None
    from torch.nn.utils import stateless

    y, _ = stateless.functional_call(
        layer, inner, (x, context, context), {"key_padding_mask": mask, "attn_mask": causal, "need_weights": True}
    )
    leaves = {**own, "x": x, **({"context": context} if case["cross"] else {})}
    return finish(case, y, leaves)


def norm(case):
    x = wave([ROWS, POSITIONS, WIDTH], lambda i: torch.cos(0.9 * i)).requires_grad_()
    own = parameters({"weight": [WIDTH], "bias": [WIDTH]})
    if case["groups"]:
        y = nn.functional.group_norm(x.transpose(1, 2), case["groups"], own["weight"], own["bias"], 1e-3).transpose(1, 2)
        y = y.contiguous()
    else:
        y = nn.functional.layer_norm(x, [WIDTH], own["weight"], own["bias"], 1e-3)
    return finish(case, y, {**own, "x": x})


VOCABULARY, LONGEST, DECODER_WIDTH = 11, 8, 8


def rotated(x, base=10000.0):
    """x [rows, heads, positions, size]: column j and j + size / 2 turn together. Lockstep's tables are f32."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * base ** (-torch.arange(half, dtype=torch.float64) / half)
    cos, sin = angles.cos().float().double(), angles.sin().float().double()
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def decoder(case):
    rotary = case["rotary"]
    norms = {} if rotary else {f"norm{i}/bias": [DECODER_WIDTH] for i in (1, 2, 3)}
    own = parameters({
        "tokens/weight": [VOCABULARY, DECODER_WIDTH], **({} if rotary else {"positions/weight": [LONGEST, DECODER_WIDTH]}),
        **{f"norm{i}/weight": [DECODER_WIDTH] for i in (1, 2, 3)}, **norms,
        "attention/qkv/weight": [DECODER_WIDTH, 3 * DECODER_WIDTH], "attention/project/weight": [DECODER_WIDTH, DECODER_WIDTH],
        "up/weight": [DECODER_WIDTH, 4 * DECODER_WIDTH], "up/bias": [4 * DECODER_WIDTH], "down/weight": [4 * DECODER_WIDTH, DECODER_WIDTH], "down/bias": [DECODER_WIDTH],
    })
    count = torch.arange(ROWS * POSITIONS)
    ids, labels = ((f * count + a) % VOCABULARY for f, a in ((7, 3), (5, 2)))

    def normed(i, x):
        if rotary:
            return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * own[f"norm{i}/weight"]
        return nn.functional.layer_norm(x, [DECODER_WIDTH], own[f"norm{i}/weight"], own[f"norm{i}/bias"], 1e-5)

    h = nn.functional.embedding(ids.view(ROWS, POSITIONS), own["tokens/weight"])
    if not rotary:
        h = h + own["positions/weight"][:POSITIONS]
    qkv = (normed(1, h) @ own["attention/qkv/weight"]).view(ROWS, POSITIONS, 3, HEADS, DECODER_WIDTH // HEADS).permute(2, 0, 3, 1, 4)
    q, k, v = qkv
    if rotary:
        q, k = rotated(q), rotated(k)
    scores = q @ k.transpose(-1, -2) / (DECODER_WIDTH // HEADS) ** 0.5
    hidden = torch.ones(POSITIONS, POSITIONS, dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v
    h = h + mixed.transpose(1, 2).reshape(ROWS, POSITIONS, DECODER_WIDTH) @ own["attention/project/weight"]
    up = nn.functional.gelu(normed(2, h) @ own["up/weight"] + own["up/bias"])
    h = h + up @ own["down/weight"] + own["down/bias"]
    logits = normed(3, h) @ own["tokens/weight"].t()
    kept = labels.masked_fill(count % 3 == 0, -100)
    loss = nn.functional.cross_entropy(logits.view(-1, VOCABULARY), kept, ignore_index=-100)
    loss.backward()
    checks = {
        name: [p.grad.sum().item(), (p.grad * wave(p.shape, lambda i: torch.sin(0.7 * i))).sum().item()]
        for name, p in own.items()
    }
    return {**case, "loss": loss.item(), "output": logits.detach().flatten().tolist(), "gradients": checks}


SEEN = [[1, 1, 0, 1, 0], [1, 0, 0, 0, 0]]
golden = {
    "torch": torch.__version__,
    "attention": [
        attention({"cross": False, "causal": False, "mask": None}),
        attention({"cross": False, "causal": True, "mask": None}),
        attention({"cross": False, "causal": True, "mask": SEEN}),
        attention({"cross": True, "causal": False, "mask": None}),
        attention({"cross": True, "causal": False, "mask": [row[:KEYS] for row in SEEN]}),
    ],
    "decoder": [decoder({"rotary": rotary}) for rotary in (False, True)],
    "norm": [norm({"groups": groups}) for groups in (None, 1, 3)],
}
out = Path(__file__).parents[2] / "test/golden/transformer-pytorch-1.13.json"
text = json.dumps(golden, separators=(",", ":"))
out.write_text(text.replace('{"cross"', '\n{"cross"').replace('{"groups"', '\n{"groups"').replace('{"rotary"', '\n{"rotary"') + "\n")
