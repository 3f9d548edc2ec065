"""What a run left in its folder, read so that a missing or torn file costs only itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bequest.errors import InputError

_FILES = ("config.yaml", "metrics.jsonl", "result.json", "environment.json")
_PNG = b"\x89PNG\r\n\x1a\n"

Series = list[tuple[float, float]]
"""Points `(step, value)` in the order of the run."""

_Row = tuple[str, float, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The readable part of a run's folder.

    Attributes:
        path: Where it is.
        config: What makes the run repeatable.
        result: Figures, seconds and FLOPs; empty while the run has not ended.
        environment: Versions and hardware.
        terms: What was logged at each step, by name; phases follow each other on the step axis.
        records: Evaluations and diagnostics, by name.
        pictures: PNG files' content by name.
        tables: Columns by name, by the table's name.
        problems: What is missing or cannot be read, a sentence each.
    """

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    terms: dict[str, Series] = field(default_factory=dict)
    records: dict[str, Series] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    tables: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.result)

    @property
    def has_checkpoint(self) -> bool:
        """Whether `bequest resume` has something to go on from."""
        return (self.path / "checkpoint.safetensors").exists()

    def figures(self) -> dict[str, float]:
        """Final figures; of an unfinished run the newest ones."""
        metrics = self.result.get("metrics")
        if isinstance(metrics, dict):
            return {name: value for name, value in metrics.items() if _is_number(value)}
        return {name: series[-1][1] for name, series in self.records.items()}


def read_run(path: Path | str) -> RunFolder:
    """Reads a run's folder, whatever state it is in.

    Raises:
        InputError: When it holds nothing of a run.
    """
    path = Path(path)
    if not any((path / name).exists() for name in _FILES):
        raise InputError(
            f"{path} is no folder of a run: it has none of {', '.join(_FILES)}. Give the folder "
            "that `bequest run` or `bequest distill` named."
        )
    problems: list[str] = []
    config = _mapping(path / "config.yaml", problems)
    environment = _mapping(path / "environment.json", problems)
    result = _mapping(path / "result.json", problems, optional=True)
    terms, records = _series(path / "metrics.jsonl", problems)
    return RunFolder(
        path=path,
        config=config,
        result=result,
        environment=environment,
        terms=terms,
        records=records,
        pictures=_pictures(path / "pictures", problems),
        tables=_tables(path / "tables", problems),
        problems=problems,
    )


def _mapping(path: Path, problems: list[str], *, optional: bool = False) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except FileNotFoundError:
        if not optional:
            problems.append(f"{path.name} is missing.")
        return {}
    except (OSError, ValueError, yaml.YAMLError):
        problems.append(f"{path.name} cannot be read; it may be torn.")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path.name} does not hold what it should.")
        return {}
    return {str(key): value for key, value in content.items()}


def _series(path: Path, problems: list[str]) -> tuple[dict[str, Series], dict[str, Series]]:
    """The curves of steps and of records."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        problems.append(f"{path.name} is missing: there are no curves.")
        return {}, {}
    rows: list[_Row] = []
    torn = 0
    for line in lines:
        try:
            row = json.loads(line)
            rows.append((str(row["phase"]), float(row["step"]), row))
        except (ValueError, KeyError, TypeError):
            torn += 1
    if torn:
        what = "1 line" if torn == 1 else f"{torn} lines"
        problems.append(f"{what} of {path.name} cannot be read and left out.")
    terms: dict[str, Series] = {}
    records: dict[str, Series] = {}
    offset, last, phase = 0.0, 0.0, ""
    for index, (name, step, row) in enumerate(rows):
        current = _phase(rows[index:]) or phase
        if current != phase:
            offset, last, phase = offset + last, 0.0, current
        last = max(last, step)
        for key, value in row.items():
            if key not in ("phase", "step") and _is_number(value):
                target = records if name == "record" else terms
                target.setdefault(key, []).append((offset + step, float(value)))
    return terms, records


def _phase(rows: list[_Row]) -> str:
    """The phase that the first row belongs to; empty for that of the row before.

    A record's step counts in the phase that it was made in: the one whose rows come next, unless
    steps begin anew until there.
    """
    step = rows[0][1]
    for name, following, _ in rows:
        if following < step:
            return ""
        if name != "record":
            return name
        step = following
    return ""


def _pictures(folder: Path, problems: list[str]) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*.png")):
        content = path.read_bytes()
        if content.startswith(_PNG) and content.rstrip()[-8:-4] == b"IEND":
            found[path.stem] = content
        else:
            problems.append(f"The picture {path.name} cannot be read; it may be torn.")
    return found


def _tables(folder: Path, problems: list[str]) -> dict[str, dict[str, list[float]]]:
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            columns = {str(name): [float(v) for v in column] for name, column in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            problems.append(f"The table {path.name} cannot be read; it may be torn.")
            continue
        if columns and len({len(column) for column in columns.values()}) == 1:
            found[path.stem] = columns
        else:
            problems.append(f"The table {path.name} has columns of different lengths.")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def nested(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of keys: `{"versions": {"torch": 2}}` becomes `{"versions torch": 2}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= nested(value, f"{prefix}{key} ")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
