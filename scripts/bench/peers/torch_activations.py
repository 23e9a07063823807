"""MiB that PyTorch keeps from forward for backward, parameters not counted: what `npm run profile` prints as activations, of the
same workloads. `/usr/bin/python3 scripts/bench/peers/torch_activations.py` (apt-get install python3-torch)."""
import torch
import torch.nn.functional as F

from torch_models import build

CASES = {
    "cnn": ({"kind": "cnn", "channels": [32, 64], "units": 128, "classes": 10}, [28, 28, 1], 64, [10]),
    "lstm": ({"kind": "lstm", "hidden": 64, "classes": 10}, [32, 16], 64, [10]),
    "gpt": ({"kind": "gpt", "vocabulary": 65, "layers": 4, "heads": 4, "width": 128}, [64], 12, [64, 65]),
}
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
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = F.cross_entropy(model(x).flatten(0, -2), y.flatten())
    print(f"{name}, batch {batch}: {sum(kept.values()) / 2**20:.1f} MiB")
