"""One step of data-free inversion: cross-entropy plus BatchNorm statistics, back to the images.

Compares the step as public code writes it (fp32, NCHW, teacher with gradients for its weights,
statistics by permute and var in forward hooks) with the ways to make it cheaper, one at a time,
up to :class:`bequest.synthesis.statistics.BatchNormStatistics`. The floor is the cheapest step
without any statistics loss.

    python benchmarks/inversion_step.py --json inversion_step.json
    python benchmarks/inversion_step.py --network resnet20 --batch 128 --repeats 9

Rows are interleaved in shuffled order within one process; times are medians. On the CPU the
ratio is of CPU time at one thread; on a GPU of event times, synchronised after a warm-up. Each row
also says how far its statistics loss and the direction of its image gradient are from those of
the public style: for a random teacher, and for the public CIFAR-10 ResNet-20 (where the folder
`BEQUEST_SHARED_DATA` holds `cifar10_resnets.npz`) at the start and near convergence.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import random
import statistics as summary
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bequest.nn import zoo
from bequest.nn.inspection import batch_norm_layers
from bequest.nn.normalize import Normalized
from bequest.ops.batch_statistics import batch_statistics
from bequest.synthesis.statistics import BatchNormStatistics

Statistics = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Variant:
    """One way to write the step."""

    name: str
    statistics: str
    """none, permute, var_mean, separate (fused statistics beside the layer), fused (in it)."""
    frozen: bool = True
    channels_last: bool = True
    bf16: bool = False
    bf16_weights: bool = False


PUBLIC = Variant("public style", "permute", frozen=False, channels_last=False)
DEFAULT = Variant("bf16, fused with the output", "fused", bf16=True)
VARIANTS = [
    PUBLIC,
    Variant("+ frozen teacher", "permute", channels_last=False),
    Variant("+ channels_last", "permute"),
    Variant("fp32, var_mean", "var_mean"),
    Variant("fp32, fused with the output", "fused"),
    Variant("bf16, var_mean", "var_mean", bf16=True),
    Variant("bf16, fused statistics", "separate", bf16=True),
    DEFAULT,
    Variant("the same, weights kept in bf16", "fused", bf16=True, bf16_weights=True),
    Variant("bf16, no statistics (floor)", "none", bf16=True),
]
TARGETS = {("resnet34", 64): 5.0, ("resnet20", 128): 3.4}


def permute_and_var(x: Tensor) -> tuple[Tensor, Tensor]:
    by_channel = x.permute(1, 0, 2, 3).contiguous().view(x.shape[1], -1)
    return x.mean((0, 2, 3)), by_channel.var(1, unbiased=False)


def var_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    return mean, var


BY_HOOK: dict[str, Statistics] = {
    "permute": permute_and_var,
    "var_mean": var_mean,
    "separate": batch_statistics,
}


class HookStatistics:
    """The statistics loss by forward hooks, layer by layer."""

    def __init__(self, teacher: nn.Module, function: Statistics) -> None:
        self.terms: list[Tensor] = []

        def hook(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            mean, var = function(inputs[0])
            distance = torch.linalg.vector_norm(mean.float() - layer.running_mean)
            self.terms.append(distance + torch.linalg.vector_norm(var.float() - layer.running_var))

        for layer in batch_norm_layers(teacher).values():
            layer.register_forward_hook(hook)

    def loss(self) -> Tensor:
        total = torch.stack(self.terms).sum()
        self.terms.clear()
        return total


class Step:
    """The step of one variant on its own copy of the teacher."""

    def __init__(self, variant: Variant, teacher: nn.Module, device: torch.device) -> None:
        self.variant, self.device = variant, device
        self.teacher = copy.deepcopy(teacher).to(device).eval()
        if variant.channels_last:
            self.teacher = self.teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher.requires_grad_(not variant.frozen)
        if variant.bf16_weights:
            for layer in self.teacher.modules():
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    layer.to(torch.bfloat16)
        self.statistics: HookStatistics | BatchNormStatistics | None = None
        if variant.statistics == "fused":
            self.statistics = BatchNormStatistics(self.teacher)
        elif variant.statistics != "none":
            self.statistics = HookStatistics(self.teacher, BY_HOOK[variant.statistics])

    def leaf(self, images: Tensor) -> Tensor:
        """A leaf tensor of these images in the variant's memory format."""
        order = torch.channels_last if self.variant.channels_last else torch.contiguous_format
        images = images.detach().to(self.device)
        return images.clone(memory_format=order).requires_grad_()

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Fills ``images.grad``; returns the statistics loss and the cross-entropy."""
        images.grad = None
        if not self.variant.frozen:
            self.teacher.zero_grad(set_to_none=True)
        inside: AbstractContextManager[Any] = nullcontext()
        if isinstance(self.statistics, BatchNormStatistics):
            inside = self.statistics
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.variant.bf16)
        with inside, autocast:
            logits = self.teacher(images)
        task = F.cross_entropy(logits.float(), labels)
        distance = torch.zeros_like(task) if self.statistics is None else self.statistics.loss()
        (task + distance).backward()
        return distance.detach(), task.detach()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def random_teacher(network: str) -> nn.Module:
    """Random weights; running statistics of four batches of smooth random pictures."""
    with seeded(0), torch.no_grad():
        teacher = zoo.build(network, num_classes=10)
        for layer in batch_norm_layers(teacher).values():
            layer.momentum = None  # type: ignore[assignment]
        teacher.train()
        for _ in range(4):
            teacher(F.interpolate(torch.rand(64, 3, 5, 5), size=32, mode="bicubic"))
    return teacher.eval()


def trained_teacher() -> nn.Module | None:
    """The public CIFAR-10 ResNet-20, for images in [0, 1]."""
    path = Path(os.environ.get("BEQUEST_SHARED_DATA", "")) / "cifar10_resnets.npz"
    if not path.is_file():
        return None
    with np.load(path) as arrays:
        prefix = "resnet20/"
        names = [name for name in arrays.files if name.startswith(prefix)]
        weights = {name.removeprefix(prefix): torch.from_numpy(arrays[name]) for name in names}
    network = zoo.build("resnet20", num_classes=10)
    missing, unexpected = network.load_state_dict(weights, strict=False)
    wrong = [name for name in missing if "num_batches_tracked" not in name] + unexpected
    if wrong:
        raise SystemExit(f"{path} does not fit the zoo's ResNet-20: {', '.join(wrong[:3])}.")
    return Normalized(network, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).eval()


def draw(batch: int) -> tuple[Tensor, Tensor]:
    with seeded(1):
        return torch.rand(batch, 3, 32, 32), torch.randint(10, (batch,))


def measure(
    steps: list[Step], images: Tensor, labels: Tensor, *, repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each repeat, by variant: ``cpu`` and ``wall``, or ``device`` on a GPU."""
    on_gpu = images.is_cuda
    leaves = {step.variant.name: step.leaf(images) for step in steps}
    times: dict[str, dict[str, list[float]]] = {
        step.variant.name: {"device": []} if on_gpu else {"cpu": [], "wall": []} for step in steps
    }
    for step in steps:
        for _ in range(20 if on_gpu else 1):
            step(leaves[step.variant.name], labels)
    order = random.Random(0)
    for _ in range(repeats):
        for step in order.sample(steps, len(steps)):
            name = step.variant.name
            if on_gpu:
                torch.cuda.synchronize()
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                step(leaves[name], labels)
                end.record()
                torch.cuda.synchronize()
                times[name]["device"].append(start.elapsed_time(end))
            else:
                wall, cpu = time.perf_counter(), time.process_time()
                step(leaves[name], labels)
                times[name]["cpu"].append(1e3 * (time.process_time() - cpu))
                times[name]["wall"].append(1e3 * (time.perf_counter() - wall))
    return times


def compare(steps: list[Step], images: Tensor, labels: Tensor) -> dict[str, dict[str, float]]:
    """Loss (relative difference) and image gradient (cosine) against the first step's."""
    results: dict[str, dict[str, float]] = {}
    reference: tuple[float, Tensor] | None = None
    for step in steps:
        if step.statistics is None:
            continue
        leaf = step.leaf(images)
        loss = step(leaf, labels)[0].item()
        assert leaf.grad is not None
        gradient = leaf.grad.double().flatten()
        if reference is None:
            reference = loss, gradient
        results[step.variant.name] = {
            "loss": loss,
            "relative_difference": loss / reference[0] - 1,
            "cosine": F.cosine_similarity(gradient, reference[1], dim=0).item(),
        }
    return results


def optimise(step: Step, images: Tensor, labels: Tensor, *, steps: int) -> Tensor:
    """Adam on the pixels, kept in [0, 1]."""
    leaf = step.leaf(images)
    optimizer = torch.optim.Adam([leaf], lr=0.05)
    for _ in range(steps):
        step(leaf, labels)
        optimizer.step()
        with torch.no_grad():
            leaf.clamp_(0, 1)
    return leaf.detach()


def near_convergence(
    variants: list[Variant], device: torch.device, *, batch: int, steps: int = 60
) -> dict[str, Any] | None:
    """The trained teacher: each variant at the start and after optimisation; the loss reached."""
    teacher = trained_teacher()
    if teacher is None:
        return None
    images, labels = (tensor.to(device) for tensor in draw(batch))
    rows = [Step(variant, teacher, device) for variant in variants]
    judge = rows[0]
    optimised = {
        variant.name: optimise(Step(variant, teacher, device), images, labels, steps=steps)
        for variant in (PUBLIC, DEFAULT)
    }
    return {
        "batch": batch,
        "steps": steps,
        "start": compare(rows, images, labels),
        "optimised": compare(rows, optimised[PUBLIC.name], labels),
        "reached": {
            name: dict(
                zip(("statistics", "task"), (t.item() for t in judge(judge.leaf(found), labels)))
            )
            for name, found in optimised.items()
        },
    }


def environment(device: torch.device) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "load": list(os.getloadavg()),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def show(console: Console, result: dict[str, Any]) -> None:
    network, batch = result["network"], result["batch"]
    clock = "device" if "device" in result["rows"][0]["times"] else "cpu"
    table = Table(title=f"{network}, batch {batch}, 32x32, {result['gflop']:.1f} GFLOP a step")
    for column in ("step", f"{clock} ms", "min..max", "wall ms", "times faster", "loss", "cosine"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for row in result["rows"]:
        times, fidelity = row["times"], row["fidelity"]
        table.add_row(
            row["name"],
            f"{row['median_ms']:.1f}",
            f"{min(times[clock]):.0f}..{max(times[clock]):.0f}",
            f"{summary.median(times['wall']):.1f}" if "wall" in times else "",
            f"{row['speedup']:.2f}",
            f"{fidelity['relative_difference']:+.1e}" if fidelity else "",
            f"{fidelity['cosine']:.4f}" if fidelity else "",
        )
    console.print(table)
    if (target := TARGETS.get((network, batch))) is not None:
        fast = next(row for row in result["rows"] if row["name"] == DEFAULT.name)
        reached = "reached" if fast["speedup"] >= target else "NOT reached"
        console.print(f"{DEFAULT.name}: {fast['speedup']:.2f}, target {target} {reached}.\n")


def show_trained(console: Console, result: dict[str, Any]) -> None:
    steps = result["steps"]
    table = Table(title=f"trained ResNet-20, batch {result['batch']}: against the public style")
    for column in ("step", "loss at start", "cosine", f"loss after {steps}", "cosine"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for name, start in result["start"].items():
        end = result["optimised"][name]
        table.add_row(
            name,
            f"{start['relative_difference']:+.1e}",
            f"{start['cosine']:.4f}",
            f"{end['relative_difference']:+.1e}",
            f"{end['cosine']:.4f}",
        )
    console.print(table)
    for name, losses in result["reached"].items():
        console.print(
            f"{steps} steps with '{name}' reach statistics {losses['statistics']:.3f}, "
            f"cross-entropy {losses['task']:.4f} (both judged in the public style)"
        )


def benchmark(network: str, batch: int, device: torch.device, *, repeats: int) -> dict[str, Any]:
    teacher = random_teacher(network)
    images, labels = (tensor.to(device) for tensor in draw(batch))
    steps = [Step(variant, teacher, device) for variant in VARIANTS]
    with FlopCounterMode(display=False) as counter:
        steps[-1](steps[-1].leaf(images), labels)
    times = measure(steps, images, labels, repeats=repeats)
    fidelity = compare(steps, images, labels)
    clock = "device" if images.is_cuda else "cpu"
    medians = {name: summary.median(row[clock]) for name, row in times.items()}
    rows = [
        asdict(variant)
        | {
            "median_ms": medians[variant.name],
            "speedup": medians[PUBLIC.name] / medians[variant.name],
            "times": times[variant.name],
            "fidelity": fidelity.get(variant.name),
        }
        for variant in VARIANTS
    ]
    gflop = counter.get_total_flops() / 1e9
    return {"network": network, "batch": batch, "image": [3, 32, 32], "gflop": gflop, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", help="name of the zoo; default: the two sizes with a target")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--skip-trained", action="store_true", help="leave the trained teacher out")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console = Console()
    pairs = [(options.network, options.batch)] if options.network else list(TARGETS)
    report: dict[str, Any] = {"environment": environment(device), "repeats": options.repeats}
    report["sizes"] = [benchmark(*pair, device, repeats=options.repeats) for pair in pairs]
    for result in report["sizes"]:
        show(console, result)
    if not options.skip_trained:
        compared = [variant for variant in VARIANTS if variant.statistics != "none"]
        report["trained"] = near_convergence(compared, device, batch=128)
        if report["trained"] is None:
            console.print(
                "Trained teacher skipped: BEQUEST_SHARED_DATA has no cifar10_resnets.npz."
            )
        else:
            show_trained(console, report["trained"])
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
