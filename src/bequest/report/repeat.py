"""The command that repeats a run or a claim, from what was written down of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bequest.claims.results import Report

_DEFAULTS = {"device": "auto", "precision": "auto", "threads": 0}
_NETWORKS = ("teacher", "student")


def repeat_run(config: Mapping[str, Any], environment: Mapping[str, Any]) -> str | None:
    """`bequest run ...` or `bequest distill ...`; None when no command line can say it.

    Precision is the one that was used, since `auto` may choose another one elsewhere.

    Args:
        config: Of `config.yaml`.
        environment: Of `environment.json`, or nothing.
    """
    precision = environment.get("precision", config.get("precision"))
    values = {**config, "precision": precision}
    match config.get("command"):
        case "run" if config.get("method"):
            words = ["run", str(config["method"])]
            words += _options(values, ("arm", "size", "seed"))
        case "distill" if all(config.get(name) for name in _NETWORKS):
            words = ["distill", *_distillation(values)]
        case _:
            return None
    words += _options(
        {name: values.get(name) for name in _DEFAULTS if values.get(name) != _DEFAULTS[name]},
        tuple(_DEFAULTS),
    )
    fields = config.get("fields")
    if isinstance(fields, Mapping):
        # One word a hyper-parameter: a list is written as a literal.
        words += _options({str(name): _text(value) for name, value in fields.items()})
    return _command(words)


def repeat_claims(report: Report) -> str:
    """`bequest claim ...` of the same study, size and seeds."""
    words = ["claim", report.study, "--size", report.size, "--seeds", str(report.seeds)]
    if not report.claims:
        words += ["--arms", *report.arms]
    return _command(words)


def _distillation(values: Mapping[str, Any]) -> list[str]:
    names = (*_NETWORKS, "teacher_weights", "student_weights", "data")
    words = _options(values, names)
    words += _options({"more_teachers": values.get("more_teachers") or None})
    if values.get("pretrained"):
        words.append("--pretrained")
    size = values.get("image_size")
    if isinstance(size, Sequence) and not isinstance(size, str):
        words += ["--image-size", "x".join(map(str, size))]
    words += _options(values, ("num_classes", "mean", "std", "method", "evaluate", "seed"))
    budget = values.get("budget")
    if isinstance(budget, Mapping):
        words += _options({f"budget_{name}": value for name, value in budget.items()})
    return words


def _options(values: Mapping[str, Any], names: Sequence[str] | None = None) -> list[str]:
    """`--name value` for each name that has a value."""
    words: list[str] = []
    for name in values if names is None else names:
        value = values.get(name)
        if value is None:
            continue
        words.append(f"--{name.replace('_', '-')}")
        words += [_text(v) for v in value] if isinstance(value, list | tuple) else [_text(value)]
    return words


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _command(words: Sequence[str]) -> str:
    return shlex.join(["bequest", *words])
