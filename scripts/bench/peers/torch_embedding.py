"""The job of scripts/bench-sparse.ts in PyTorch: prints the milliseconds of a step, fastest tenth."""
import sys
import time

import torch

users, items, width, batch, steps, warm_up = map(int, sys.argv[1:])
torch.manual_seed(1)
user = torch.nn.Embedding(users, width, sparse=True)
item = torch.nn.Embedding(items, width, sparse=True)
parameters = [user.weight, item.weight]
optimizer = torch.optim.SparseAdam(parameters, lr=1e-3)
rows = 262_144
index = torch.arange(rows)
user_ids, item_ids, y = index * 7919 % users, index * 104_729 % items, (index % 2).float()
times = []
for step in range(steps):
    begin = time.perf_counter()
    ids = torch.randint(rows, (batch,))
    optimizer.zero_grad(set_to_none=True)
    loss = ((user(user_ids[ids]) * item(item_ids[ids])).sum(1) - y[ids]).square().mean()
    loss.backward()
    # clip_grad_norm_ of 1.13 does not take sparse gradients: the same by hand
    gradients = [p.grad.coalesce() for p in parameters]
    norm = torch.stack([g.values().norm() for g in gradients]).norm()
    scale = (1.0 / (norm + 1e-6)).clamp(max=1.0)
    for p, g in zip(parameters, gradients):
        p.grad = torch.sparse_coo_tensor(g.indices(), g.values() * scale, g.shape)
    optimizer.step()
    times.append(time.perf_counter() - begin)
print(1000 * sorted(times[warm_up:])[(steps - warm_up) // 10])
