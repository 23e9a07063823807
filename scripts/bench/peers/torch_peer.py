"""PyTorch as a contestant of `npm run bench`: one JSON request a line on stdin, one JSON reply a line on stdout.

scripts/bench/protocol.ts describes the messages. Settings are PyTorch's best public ones on a CPU: Adam(foreach=True),
zero_grad(set_to_none=True), DistributedDataParallel(gradient_as_bucket_view=True) over gloo. The number of threads comes
from OMP_NUM_THREADS, which the bench sets. Rank 0 is the process that the bench talks to; it starts the other ranks.
"""
import argparse
import inspect
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.distributed as dist
from torch import nn

from torch_models import build


def read(path, dtype):
    size = os.path.getsize(path) // torch.empty(0, dtype=dtype).element_size()
    return torch.from_file(path, shared=False, size=size, dtype=dtype).clone()


def read_weights(folder):
    """(name, tensor) of every parameter, in Lockstep's order."""
    flat = read(os.path.join(folder, "weights.f32"), torch.float32)
    with open(os.path.join(folder, "weights.json")) as file:
        entries = json.load(file)
    parts = flat.split([math.prod(entry["shape"]) for entry in entries])
    return [(entry["name"], part.view(entry["shape"])) for entry, part in zip(entries, parts)]


class Contestant:
    def __init__(self, request, rank, world):
        self.rank, self.world = rank, world
        self.batch = request["batch"]
        self.model_spec = request["model"]
        self.lr, self.clip = request["lr"], request["clip"]
        folder, self.shape = request["folder"], request["input"]["shape"]
        self.y = read(os.path.join(folder, "y.i32"), torch.int32).long().view(-1, *request["target"])
        self.rows = self.y.shape[0]
        if request["input"]["dtype"] == "f32":
            self.x = read(os.path.join(folder, "x.f32"), torch.float32).view(self.rows, *self.shape)
        else:
            self.x = read(os.path.join(folder, "x.i32"), torch.int32).long().view(self.rows, *self.shape)
        self.weights = read_weights(folder)
        self.loss = nn.CrossEntropyLoss()
        clip = nn.utils.clip_grad_norm_
        self.clip_options = {"foreach": True} if "foreach" in inspect.signature(clip).parameters else {}
        self.expected_ms = None

    def reset(self):
        """Every slice starts from the same weights, as Lockstep's slices do."""
        model = build(self.model_spec, self.shape)
        with torch.no_grad():
            model.load(self.weights)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True) if self.world > 1 else model
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.lr, foreach=True)
        self.order = torch.Generator().manual_seed(1)
        self.next = self.rows

    def ids(self):
        """This rank's part of the next global batch, from a new permutation every epoch."""
        size = self.batch * self.world
        if self.next + size > self.rows:
            self.permutation = torch.randperm(self.rows, generator=self.order)
            self.next = 0
        start = self.next + self.rank * self.batch
        self.next += size
        return self.permutation[start : start + self.batch]

    def step(self, ids):
        x, y = self.x.index_select(0, ids), self.y.index_select(0, ids)
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(x)
        loss = self.loss(logits.flatten(0, -2), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip, **self.clip_options)
        self.optimizer.step()
        # What a recorder needs of every step; the loss and the number of right answers are ours to compute as well.
        right = (logits.detach().argmax(-1) == y).sum()
        return loss.item(), right.item()

    def parity(self, path):
        """The losses of the given batches, one after the other, from the exported weights."""
        self.reset()
        ids = read(path, torch.int32).long().view(-1, self.world, self.batch)
        losses = []
        for step in ids:
            loss = torch.tensor(self.step(step[self.rank])[0], dtype=torch.float64)
            if self.world > 1:
                dist.all_reduce(loss)
            losses.append(loss.item() / self.world)
        return losses

    def timed(self, steps=None, seconds=None):
        """Milliseconds of each step: so many steps, or (alone) for so many seconds."""
        times = []
        clock = time.perf_counter
        before = clock()
        end = None if seconds is None else before + seconds
        while len(times) < steps if end is None else before < end or len(times) < 5:
            self.step(self.ids())
            now = clock()
            times.append((now - before) * 1000)
            before = now
        return times

    def slice(self, request):
        """One round: from the exported weights, warm-up, then the steps that count."""
        self.reset()
        if self.world == 1:
            self.timed(seconds=request["warmup"])
            return self.timed(seconds=request["seconds"])
        times = self.timed(steps=request["warmup"] + request["steps"])[request["warmup"] :]
        self.expected_ms = statistics.mean(times)
        return times


def time_optimizer(name, options, count, seconds):
    """Milliseconds of each step of an optimizer (foreach=True) on one tensor."""
    tensor = torch.randn(count).requires_grad_()
    tensor.grad = torch.randn(count)
    optimizer = getattr(torch.optim, name)([tensor], lr=1e-3, foreach=True, **options)
    for _ in range(3):
        optimizer.step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        before = time.perf_counter()
        optimizer.step()
        times.append((time.perf_counter() - before) * 1000)
    return times


def learn(request):
    """Trains the same model on the same rows with the same learning rates, until the test accuracy is reached."""
    folder, sizes, batch = request["folder"], request["sizes"], request["batch"]

    def load(split):
        labels = read(os.path.join(folder, f"{split}-y.i32"), torch.int32).long()
        return read(os.path.join(folder, f"{split}-x.f32"), torch.float32).view(labels.numel(), -1), labels

    (x, y), (test_x, test_y) = load("train"), load("test")
    torch.manual_seed(request["seed"])
    layers = []
    for i in range(len(sizes) - 1):
        layers.append(nn.Linear(sizes[i], sizes[i + 1]))
        if i + 2 < len(sizes):
            layers.append(nn.ReLU(inplace=True))
            if request["dropout"] > 0:
                layers.append(nn.Dropout(request["dropout"]))
    model, criterion = nn.Sequential(*layers), nn.CrossEntropyLoss()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=request["lr"][0], foreach=True)
    epochs, step, started, training = [], 0, time.perf_counter(), 0.0
    while step < len(request["lr"]):
        before = time.perf_counter()
        model.train()
        for ids in torch.randperm(y.numel()).split(batch):
            if step == len(request["lr"]):
                break
            optimizer.param_groups[0]["lr"] = request["lr"][step]
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x.index_select(0, ids)), y.index_select(0, ids))
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, request["clip"])
            optimizer.step()
            loss.item()
            step += 1
        training += time.perf_counter() - before
        model.eval()
        with torch.no_grad():
            right = sum(
                (model(part).argmax(1) == labels).sum().item()
                for part, labels in zip(test_x.split(1024), test_y.split(1024))
            )
        accuracy = right / test_y.numel()
        epochs.append({"accuracy": accuracy, "seconds": time.perf_counter() - started, "trainingSeconds": training})
        if accuracy >= request["target"]:
            break
    return epochs


def serve(send_to_ranks, rank, world):
    contestant = None
    for line in sys.stdin:
        request = json.loads(line)
        cmd = request["cmd"]
        if cmd == "close":
            send_to_ranks(request)
            return
        if cmd == "run" and world > 1 and rank == 0:
            # All ranks must take the same number of steps, so rank 0 turns seconds into steps, from the mean of the last slice.
            if contestant.expected_ms is None:
                probe = {"cmd": "run", "steps": 20, "warmup": 5}
                send_to_ranks(probe)
                contestant.slice(probe)
            count = lambda seconds, least: max(least, round(1000 * seconds / contestant.expected_ms))
            request = {"cmd": "run", "steps": count(request["seconds"], 20), "warmup": count(request["warmup"], 5)}
        send_to_ranks(request)
        if cmd == "setup":
            contestant = Contestant(request, rank, world)
            reply = {"ok": True, "version": torch.__version__, "threads": torch.get_num_threads()}
        elif cmd == "parity":
            reply = {"losses": contestant.parity(request["ids"])}
        elif cmd == "run":
            reply = {"stepsMs": [round(t, 5) for t in contestant.slice(request)]}
        elif cmd == "optimizer":
            reply = {"stepsMs": time_optimizer(request["name"], request["options"], request["parameters"], request["seconds"])}
        elif cmd == "accuracy":
            reply = {"epochs": learn(request)}
        else:
            reply = {"error": f"unknown command {cmd}"}
        if rank == 0:
            print(json.dumps(reply), flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--rank", type=int, default=0)
    arguments.add_argument("--rendezvous")
    options = arguments.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    world, ranks = options.workers, []
    if world == 1:
        return serve(lambda request: None, 0, 1)
    with tempfile.TemporaryDirectory() as folder:
        rendezvous = options.rendezvous or os.path.join(folder, "rendezvous")
        if options.rank == 0:
            command = [sys.executable, __file__, "--workers", str(world), "--rendezvous", rendezvous, "--rank"]
            ranks = [
                subprocess.Popen([*command, str(r)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
                for r in range(1, world)
            ]
        dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=options.rank, world_size=world)

        def send_to_ranks(request):
            for process in ranks:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()

        try:
            serve(send_to_ranks, options.rank, world)
        finally:
            for process in ranks:
                process.stdin.close()
            for process in ranks:
                process.wait(timeout=20)


if __name__ == "__main__":
    main()
