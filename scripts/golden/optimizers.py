"""Golden trajectories of PyTorch's optimizers in float64, for test/optim/golden.test.ts.

    /usr/bin/python3 scripts/golden/optimizers.py        # Debian 12: apt-get install python3-torch (1.13)

p0 and g_t[i] = sin(0.7 t + i) (1 + 0.3 i), t = 1..10, as in optimizers-pytorch-1.13.json; parameters after steps 1, 2, 5
and 10. NAdam is left out: 1.13 multiplies mu into its product twice. L-BFGS runs on Rosenbrock's function instead, one
iteration a step, with the strong Wolfe line search.
"""
import json
import math
from pathlib import Path

import torch

torch.set_default_dtype(torch.float64)  # ASGD keeps its rate in a tensor of the default type
P0 = [1.0, -2.0, 0.5, 3.0]
RUNS = {
    "adadelta": (torch.optim.Adadelta, {}),
    "adadelta_l2": (torch.optim.Adadelta, {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1}),
    "adam_amsgrad": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
    "adamw_amsgrad": (torch.optim.AdamW, {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "adamax": (torch.optim.Adamax, {"lr": 0.01}),
    "adamax_l2": (torch.optim.Adamax, {"lr": 0.01, "weight_decay": 0.1}),
    "radam": (torch.optim.RAdam, {"lr": 0.01}),
    "radam_l2": (torch.optim.RAdam, {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    "asgd": (torch.optim.ASGD, {"lr": 0.1}),
    "asgd_decay": (torch.optim.ASGD, {"lr": 0.1, "lambd": 0.05, "t0": 4, "weight_decay": 0.1}),
    "rprop": (torch.optim.Rprop, {}),
    "rprop_limits": (torch.optim.Rprop, {"lr": 0.1, "etas": (0.6, 1.5), "step_sizes": (0.05, 0.2)}),
}


def gradient(t):
    return torch.tensor([math.sin(0.7 * t + i) * (1 + 0.3 * i) for i in range(4)], dtype=torch.float64)


def trajectory(make, kw):
    p = torch.tensor(P0, dtype=torch.float64, requires_grad=True)
    optimizer = make([p], **kw)
    rows = []
    for t in range(1, 11):
        p.grad = gradient(t)
        optimizer.step()
        if t in (1, 2, 5, 10):
            rows.append([t, *p.detach().tolist()])
    result = {"kw": kw, "rows": rows}
    if "ax" in optimizer.state[p]:
        result["average"] = optimizer.state[p]["ax"].tolist()
    return result


def lbfgs(kw):
    p = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([p], max_iter=1, line_search_fn="strong_wolfe", **kw)

    def closure():
        optimizer.zero_grad()
        x, y = p[0], p[1]
        loss = (1 - x) ** 2 + 100 * (y - x * x) ** 2
        loss.backward()
        return loss

    rows = []
    for t in range(1, 31):
        optimizer.step(closure)
        rows.append([t, *p.detach().tolist()])
    return {"kw": kw, "rows": rows}


golden = {
    "torch": torch.__version__,
    "p0": P0,
    "grad": "g_t[i]=sin(0.7*t+i)*(1+0.3*i), t=1..10, float64",
    "steps": {name: trajectory(make, kw) for name, (make, kw) in RUNS.items()},
    "rosenbrock": {"lbfgs": lbfgs({"lr": 1}), "lbfgs_short_memory": lbfgs({"lr": 0.5, "history_size": 3})},
}
out = Path(__file__).parents[2] / "test/golden/optimizers-more-pytorch-1.13.json"
out.write_text(json.dumps(golden, indent=1) + "\n")
