"""Golden learning rates of PyTorch's schedulers, for test/optim/schedules.test.ts and test/train/plateau.test.ts.

    /usr/bin/python3 scripts/golden/schedules.py        # Debian 12: apt-get install python3-torch (1.13)

`rates` are those of updates 1, 2, 3 ...; for ReduceLROnPlateau those after each evaluation, whose values are `values`.
"""
import json
import math
import warnings
from pathlib import Path

import torch
from torch.optim import lr_scheduler as s

warnings.simplefilter("ignore")
N = 40


def rates(lr, make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    out = []
    for _ in range(N):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(out) == getattr(scheduler, "total_steps", N):  # past its end OneCycleLR goes on to negative rates
            break
        scheduler.step()
    return out


SCHEDULES = {
    "linear": (0.5, lambda o: s.LinearLR(o, 1.0, 0.1, 20)),
    "multiStep": (0.5, lambda o: s.MultiStepLR(o, [3, 10, 11, 25], 0.5)),
    "polynomial": (0.5, lambda o: s.PolynomialLR(o, 30, 2.0)),
    "restarts": (0.5, lambda o: s.CosineAnnealingWarmRestarts(o, 7, 1, 0.05)),
    "restartsLonger": (0.5, lambda o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.0)),
    "oneCycle": (0.5, lambda o: s.OneCycleLR(o, 0.5, total_steps=N)),
    "oneCycleLinear": (
        0.5,
        lambda o: s.OneCycleLR(
            o, 0.5, total_steps=30, pct_start=0.5, div_factor=10, final_div_factor=100, anneal_strategy="linear"
        ),
    ),
    "triangular": (0.1, lambda o: s.CyclicLR(o, 0.1, 0.9, 4, 6, cycle_momentum=False)),
    "triangular2": (0.1, lambda o: s.CyclicLR(o, 0.1, 0.9, 5, mode="triangular2", cycle_momentum=False)),
    "expRange": (0.1, lambda o: s.CyclicLR(o, 0.1, 0.9, 5, mode="exp_range", gamma=0.97, cycle_momentum=False)),
}
VALUES = [math.exp(-0.2 * t) + 0.3 + 0.05 * math.sin(2.3 * t) for t in range(N)]
PLATEAUS = {
    "default": {"patience": 2},
    "cooldown": {"patience": 1, "cooldown": 3, "factor": 0.5},
    "floor": {"patience": 0, "factor": 0.3, "min_lr": 0.02, "threshold": 0.01},
    "max": {"mode": "max", "patience": 3, "factor": 0.5},
}


def plateau(kw):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = s.ReduceLROnPlateau(optimizer, **kw)
    out = []
    for value in VALUES:
        scheduler.step(value)
        out.append(optimizer.param_groups[0]["lr"])
    return {"options": kw, "rates": out}


golden = {
    "torch": torch.__version__,
    "schedules": {name: rates(*run) for name, run in SCHEDULES.items()},
    "values": VALUES,
    "plateaus": {name: plateau(kw) for name, kw in PLATEAUS.items()},
}
path = Path(__file__).parents[2] / "test/golden/schedules-pytorch-1.13.json"
path.write_text(json.dumps(golden, indent=1) + "\n")
