"""MiB that PyTorch keeps from forward for backward, and the most that it holds at any moment of both, parameters and their gradients not
counted, of the workloads of which `npm run profile` prints activations (ours: the most of both).
`/usr/bin/python3 scripts/bench/peers/torch_activations.py` (apt-get install python3-torch)."""
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from torch_models import build

CASES = {
    "cnn": ({"kind": "cnn", "channels": [32, 64], "units": 128, "classes": 10}, [28, 28, 1], 64, [10]),
    "lstm": ({"kind": "lstm", "hidden": 64, "classes": 10}, [32, 16], 64, [10]),
    "gpt": ({"kind": "gpt", "vocabulary": 65, "layers": 4, "heads": 4, "width": 128}, [64], 12, [64, 65]),
}
torch.set_num_threads(1)


def highest(step):
    """The highest sum of what was allocated and not yet given back."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_us()):
        now += event.nbytes()
        most = max(most, now)
    return most


for name, (spec, shape, batch, classes) in CASES.items():
    model = build(spec, shape)
    own = {p.storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    kept = {}

    def keep(tensor):
        storage = tensor.storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = torch.randint(65, (batch, *shape)) if name == "gpt" else torch.randn(batch, *shape)
    y = torch.randint(classes[-1], (batch, *classes[:-1]))
    def step():
        F.cross_entropy(model(x).flatten(0, -2), y.flatten()).backward()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()  # so the gradients are there
    print(f"{name}, batch {batch}: kept {sum(kept.values()) / 2**20:.1f} MiB, at most {highest(step) / 2**20:.1f} MiB")
