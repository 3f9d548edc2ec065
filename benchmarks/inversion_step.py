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
`BEQUEST_SHARED_DATA` holds `cifar10_resnets.npz`) at the start and near convergence. A control
tells what such a distance means: the public style on images moved by a quarter of an 8-bit step.
"""

from __future__ import annotations

import copy
import os
import statistics as summary
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import (
    arguments,
    default_device,
    environment,
    interleaved,
    random_teacher,
    rows_of,
    verdict,
    write,
)
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bequest.nn import zoo
from bequest.nn.inspection import batch_norm_layers
from bequest.nn.normalize import Normalized
from bequest.nn.weights import load_weights
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
EXACT = Variant("fp32, fused with the output", "fused")
DEFAULT = Variant("bf16, fused with the output", "fused", bf16=True)
VARIANTS = [
    PUBLIC,
    Variant("+ frozen teacher", "permute", channels_last=False),
    Variant("+ channels_last", "permute"),
    Variant("fp32, var_mean", "var_mean"),
    EXACT,
    Variant("bf16, var_mean", "var_mean", bf16=True),
    Variant("bf16, fused statistics", "separate", bf16=True),
    DEFAULT,
    Variant("the same, weights kept in bf16", "fused", bf16=True, bf16_weights=True),
    Variant("bf16, no statistics (floor)", "none", bf16=True),
]
TARGETS = {("resnet34", 64): 5.0, ("resnet20", 128): 3.4}
MOVED = f"({PUBLIC.name}, images moved by 0.001)"


def permute_and_var(x: Tensor) -> tuple[Tensor, Tensor]:
    rows = x.permute(1, 0, 2, 3).contiguous().view(x.shape[1], -1)
    return x.mean((0, 2, 3)), rows.var(1, unbiased=False)


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
        """Of the last forward pass."""
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
        hooks = not isinstance(self.statistics, BatchNormStatistics)
        inside: Any = nullcontext() if hooks else self.statistics
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.variant.bf16)
        with inside, autocast:
            logits = self.teacher(images)
        task = F.cross_entropy(logits.float(), labels)
        distance = torch.zeros_like(task) if self.statistics is None else self.statistics.loss()
        (task + distance).backward()
        return distance.detach(), task.detach()


def trained_teacher() -> nn.Module | None:
    """The public CIFAR-10 ResNet-20, for images in [0, 1]."""
    path = Path(os.environ.get("BEQUEST_SHARED_DATA", "")) / "cifar10_resnets.npz"
    if not path.is_file():
        return None
    network = zoo.build("resnet20", num_classes=10)
    load_weights(network, path, group="resnet20")
    return Normalized(network, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).eval()


def draw(batch: int, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, 32, 32, generator=rng), torch.randint(10, (batch,), generator=rng)


def moved(images: Tensor) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    return (images + 1e-3 * noise.to(images)).clamp(0, 1)


def compare(steps: list[Step], images: Tensor, labels: Tensor) -> dict[str, dict[str, float]]:
    """Loss (relative difference) and image gradient (cosine) against the first step's."""
    cases = [(step.variant.name, step, images) for step in steps if step.statistics is not None]
    cases.append((MOVED, steps[0], moved(images)))
    results: dict[str, dict[str, float]] = {}
    reference: tuple[float, Tensor] | None = None
    for name, step, seen in cases:
        leaf = step.leaf(seen)
        loss = step(leaf, labels)[0].item()
        gradient = torch.as_tensor(leaf.grad).double().flatten()
        reference = reference or (loss, gradient)
        results[name] = {
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


def trained(
    device: torch.device, *, batch: int = 64, steps: int = 60, starts: int = 3
) -> dict[str, Any] | None:
    """The trained teacher: every variant at the start and optimised, and the loss reached.

    The loss reached is judged in fp32, after the same steps from the same images in fp32, in fp32
    from images moved by 0.001 (what chance does), and in bf16.
    """
    teacher = trained_teacher()
    if teacher is None:
        return None
    rows = [Step(variant, teacher, device) for variant in VARIANTS]
    exact, default = (Step(variant, teacher, device) for variant in (EXACT, DEFAULT))
    reached: dict[str, list[float]] = {}
    near = torch.empty(0)
    for start in range(starts):
        images, labels = (tensor.to(device) for tensor in draw(batch, seed=10 + start))
        for name, step, first in (
            ("fp32", exact, images),
            ("fp32, start moved by 0.001", exact, moved(images)),
            ("bf16", default, images),
        ):
            found = optimise(step, first, labels, steps=steps)
            near = found if name == "fp32" else near
            reached.setdefault(name, []).append(exact(exact.leaf(found), labels)[0].item())
    return {
        "batch": batch,
        "steps": steps,
        "start": compare(rows, images, labels),
        "optimised": compare(rows, near, labels),
        "reached": reached,
    }


def cells(fidelity: dict[str, float] | None) -> tuple[str, ...]:
    pattern = "{relative_difference:+.1e} {cosine:.4f}"
    return tuple(pattern.format(**fidelity).split()) if fidelity else ("", "")


def show(console: Console, result: dict[str, Any]) -> None:
    network, batch = result["network"], result["batch"]
    clock = result["rows"][0]["clock"]
    table = Table(title=f"{network}, batch {batch}, 32x32, {result['gflop']:.1f} GFLOP a step")
    for column in ("step", f"{clock} ms", "min..max", "wall ms", "times faster", "loss", "cosine"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for row in result["rows"]:
        times = row["times"]
        table.add_row(
            row["name"],
            f"{row['median_ms']:.1f}",
            f"{min(times[clock]):.0f}..{max(times[clock]):.0f}",
            f"{summary.median(times['wall']):.1f}" if "wall" in times else "",
            f"{row['speedup']:.2f}",
            *cells(row["fidelity"]),
        )
    table.add_row(MOVED, *[""] * 4, *cells(result["control"]))
    console.print(table)
    if target := TARGETS.get((network, batch)):
        fast = next(row["speedup"] for row in result["rows"] if row["name"] == DEFAULT.name)
        console.print(verdict(DEFAULT.name, fast, target) + "\n")


def show_trained(console: Console, result: dict[str, Any]) -> None:
    steps = result["steps"]
    table = Table(title=f"trained ResNet-20, batch {result['batch']}: against the public style")
    for column in ("step", "loss at start", "cosine", f"loss after {steps}", "cosine"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for name, start in result["start"].items():
        table.add_row(name, *cells(start), *cells(result["optimised"][name]))
    console.print(table)
    console.print(f"Statistics loss reached in {steps} steps, judged in fp32, by start:")
    for name, found in result["reached"].items():
        console.print(f"  {name}: " + ", ".join(f"{loss:.2f}" for loss in found))


def benchmark(device: torch.device, network: str, batch: int, *, repeats: int) -> dict[str, Any]:
    teacher = random_teacher(network)
    images, labels = (tensor.to(device) for tensor in draw(batch))
    steps = [Step(variant, teacher, device) for variant in VARIANTS]
    with FlopCounterMode(display=False) as counter:
        steps[-1](steps[-1].leaf(images), labels)
    leaves = {step.variant.name: step.leaf(images) for step in steps}
    calls = {step.variant.name: partial(step, leaves[step.variant.name], labels) for step in steps}
    times = interleaved(calls, repeats=repeats, on_gpu=images.is_cuda)
    fidelity = compare(steps, images, labels)
    rows = rows_of(times, PUBLIC.name)
    for row, variant in zip(rows, VARIANTS, strict=True):
        row |= asdict(variant) | {"fidelity": fidelity.get(variant.name)}
    size = {"network": network, "batch": batch, "gflop": counter.get_total_flops() / 1e9}
    return size | {"image": [3, 32, 32], "rows": rows, "control": fidelity[MOVED]}


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--network", help="name of the zoo; default: the two sizes with a target")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--skip-trained", action="store_true", help="leave the trained teacher out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = default_device()
    console = Console()
    pairs = [(options.network, options.batch)] if options.network else list(TARGETS)
    report: dict[str, Any] = {"environment": environment(device), "repeats": options.repeats}
    report["sizes"] = [benchmark(device, *pair, repeats=options.repeats) for pair in pairs]
    for result in report["sizes"]:
        show(console, result)
    if not options.skip_trained:
        report["trained"] = trained(device)
        if report["trained"] is None:
            console.print("No cifar10_resnets.npz in BEQUEST_SHARED_DATA: no trained teacher.")
        else:
            show_trained(console, report["trained"])
    write(options.json, report)


if __name__ == "__main__":
    main()
