"""The most memory that a data-free distillation of CIFAR-10 size holds.

    python benchmarks/peak_memory.py --json peak_memory.json

SSD-KD, ResNet-56 to ResNet-20, 32x32, a buffer of 5,000 images, batches of 256, with as many
images beside it as the data set has (they are there for the evaluation). The buffer is filled to
the last place and a few rounds follow; more rounds or more inversion steps need more time, not
more memory. Each row is a process of its own; the figure is the largest resident set that the
operating system saw. The teacher's weights are random, with filled statistics.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import arguments, environment, random_teacher, write
from rich.console import Console
from rich.table import Table

TARGET_GB = 2.0
IMPORTS = "imports alone"
ROWS = {IMPORTS: "none", "bf16": "bf16", "fp32": "fp32"}


def distill(
    *,
    precision: str,
    teacher: str = "resnet56",
    student: str = "resnet20",
    buffer: int = 5000,
    batch: int = 256,
    images: int = 60_000,
) -> dict[str, Any]:
    """Distils in this process and returns its peak in bytes."""
    import torch

    from bequest.methods.data_free.ssd_kd import SSDKD
    from bequest.nn import zoo
    from bequest.run import Run
    from bequest.run.environment import peak_memory

    torch.set_num_threads(1)
    before = peak_memory(torch.device("cpu"))
    if precision == "none":
        return {"peak_bytes": before, "before_bytes": before}
    bank = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8)
    method = SSDKD(
        buffer_size=buffer,
        synthesis_batch=batch,
        batch_size=batch,
        rounds=2,
        student_steps=2,
        inversion_steps=2,
    )
    with Run(device="cpu", precision=precision) as run:
        result = method.fit(
            random_teacher(teacher),
            zoo.build(student, num_classes=10),
            image_size=(3, 32, 32),
            num_classes=10,
            run=run,
        )
    return {
        "peak_bytes": result.peak_memory_bytes,
        "before_bytes": before,
        "bank_bytes": bank.numel(),
        "cpu_seconds": sum(result.cpu_seconds.values()),
    }


def in_a_process(precision: str, **sizes: Any) -> dict[str, Any]:
    """`distill` in a fresh process."""
    call = f"import json, peak_memory as p; print(json.dumps(p.distill(precision={precision!r}, **"
    call += f"{sizes!r})))"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    folder = Path(__file__).parent
    command = [sys.executable, "-c", call]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the distillation ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def benchmark(**sizes: Any) -> dict[str, Any]:
    """The peak of each row; `sizes` are `distill`'s."""
    rows = [{"name": name} | in_a_process(row, **sizes) for name, row in ROWS.items()]
    for row in rows:
        row["of_target"] = row["peak_bytes"] / (TARGET_GB * 1e9)
    return {"sizes": sizes, "rows": rows}


def main() -> None:
    import torch

    options = arguments(__doc__, repeats=1).parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(torch.device("cpu"))}
    report["rounds"] = [benchmark() for _ in range(options.repeats)]
    table = Table("row", "peak GB", "before, GB", "CPU s")
    for result in report["rounds"]:
        for row in result["rows"]:
            seconds = row.get("cpu_seconds")
            table.add_row(
                row["name"],
                f"{row['peak_bytes'] / 1e9:.3f}",
                f"{row['before_bytes'] / 1e9:.3f}",
                "" if seconds is None else f"{seconds:.0f}",
            )
    console.print(table)
    highest = max(row["peak_bytes"] for r in report["rounds"] for row in r["rows"]) / 1e9
    reached = "reached" if highest < TARGET_GB else "NOT reached"
    console.print(f"At most {highest:.2f} GB; target under {TARGET_GB:g} GB {reached}.")
    write(options.json, report)


if __name__ == "__main__":
    main()
