"""Reports of claims and folders of runs, made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from PIL import Image

from bequest.claims.results import ArmFigures, ClaimVerdict, Report


def example_arm(
    values: list[float | None], *, failures: dict[str, str] | None = None
) -> ArmFigures:
    """An arm with these accuracies."""
    ended = [value for value in values if value is not None]
    return ArmFigures(
        metric="accuracy",
        mean=sum(ended) / len(ended) if ended else None,
        sd=1.5,
        values=values,
        metrics={"accuracy": values},
        flops=2e12,
        cpu_seconds=81.5,
        seconds=90.25,
        sections={
            "inversion": {"seconds": 30.25, "cpu_seconds": 28.0, "flops": 1.5e12},
            "distillation": {"seconds": 60.0, "cpu_seconds": 53.5, "flops": 5e11},
            "evaluation": {"seconds": 2.0, "cpu_seconds": 1.9, "flops": 1e10},
        },
        config={"class": "fake:Fake", "fields": {"level": 90.0}},
        failures=failures or {},
    )


def example_report() -> Report:
    """Four claims of three arms: one holds, one fails, two are undecided, one for a failure."""

    def claim(id: str, better: str, than: str, **values: object) -> ClaimVerdict:
        content = {
            "id": id,
            "sentence": f"The arm {better} beats {than}.",
            "better": better,
            "than": than,
            "metric": "accuracy",
            "by": 0.0,
            "pairs": 5,
            "source": "CVPR 2024, Table 4",
        }
        return ClaimVerdict(**{**content, **values})

    return Report(
        study="fake",
        size="smoke",
        seeds=5,
        created="2025-01-31",
        environment={"python": "3.11.7", "device": "cpu", "versions": {"torch": "2.13.0"}},
        code="0123456789abcdef",
        arms={
            "ours": example_arm([90.0, 91.0, 89.5, 92.0, 90.5]),
            "theirs": example_arm([88.0, 90.5, 87.0, 90.0, 89.0]),
            "broken": example_arm(
                [85.0, None, 84.0, 86.0, 85.5], failures={"1": "NotFiniteError: <'loss'> is nan"}
            ),
        },
        claims=[
            claim("first", "ours", "theirs", verdict="holds", difference=1.7, interval=(0.7, 2.7)),
            claim(
                "second", "theirs", "ours", verdict="fails", difference=-1.7, interval=(-2.7, -0.7)
            ),
            claim(
                "third",
                "ours",
                "theirs",
                by=2.0,
                verdict="undecided",
                difference=1.7,
                interval=(0.7, 2.7),
            ),
            claim(
                "fourth",
                "broken",
                "theirs",
                verdict="undecided",
                difference=None,
                interval=None,
                pairs=0,
                excluded=["broken, seed 1: NotFiniteError: <'loss'> is nan"],
            ),
        ],
        cached=3,
        runs=15,
    )


def write_run(folder: Path, **config: object) -> Path:
    """A folder as a finished run of `bequest run` leaves it."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "tables").mkdir()
    values = {
        "command": "run",
        "method": "ssd-kd",
        "arm": "ssd-kd",
        "size": "smoke",
        "fields": {"buffer_size": 64},
        "seed": 3,
        "device": "auto",
        "precision": "fp32",
        "threads": 1,
        "resolved": {"buffer_size": 64, "note": "<b>bold</b>"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({**values, **config}))
    rows: list[dict] = []
    for step in range(1, 41):
        if step % 8 == 0:
            rows.append(
                {
                    "phase": "record",
                    "step": step,
                    "accuracy": 40.0 + step,
                    "agreement": 50.0 + step,
                    "class_entropy": 0.9,
                    "confidence": 0.7,
                    "effective_size": 60.0,
                }
            )
        rows.append({"phase": "distillation", "step": step, "bn": 9 / step, "distill": 1 / step})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = {
        "metrics": {"accuracy": 80.25, "agreement": 90.0, "teacher_accuracy": 96.5},
        "seconds": {"inversion": 30.0, "distillation": 10.0, "evaluation": 1.0},
        "cpu_seconds": {"inversion": 25.0, "distillation": 9.5, "evaluation": 0.5},
        "flops": {"inversion": 3e12, "distillation": 1e12, "evaluation": 1e9},
    }
    (folder / "result.json").write_text(json.dumps(result))
    environment = {"python": "3.11.7", "device": "cpu", "versions": {"torch": "2.13.0"}}
    (folder / "environment.json").write_text(json.dumps(environment))
    Image.new("L", (32, 32), 128).save(folder / "pictures" / "synthetic.png")
    table = {"from": [0.0, 0.25, 0.5, 0.75], "count": [1.0, 0.0, 5.0, 20.0]}
    (folder / "tables" / "confidence.json").write_text(json.dumps(table))
    return folder
