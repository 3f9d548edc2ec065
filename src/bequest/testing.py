"""Checks that every method of the catalogue passes; third parties run them on theirs.

    from bequest.testing import check_method
    check_method("my-method")

A check is a function of a catalogue entry and an empty folder. It raises AssertionError with what
is wrong. All of them together cost about two runs of the study at smoke size.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from torch import nn

from bequest import catalog, declaration
from bequest.catalog import Entry
from bequest.errors import InputError, StoppedError
from bequest.methods.base import configure
from bequest.report.method_page import render_method_page
from bequest.run import Budget, Result, Run

_OUT_OF_RANGE = {
    "Count": 0,
    "NonNegativeInt": -1,
    "Positive": 0.0,
    "NonNegative": -1.0,
    "Fraction": 1.5,
}


def check_declaration(entry: Entry, folder: Path) -> None:
    """What the source declares is what the class has; each field is explained."""
    method = configure(entry.load_method(), {})
    declared = {field.name: field for field in declaration.fields(entry)}
    actual = {field.name: getattr(method, field.name) for field in dataclass_fields(method)}
    assert set(declared) == set(actual), f"declared {set(declared)}, has {set(actual)}"
    for name, field in declared.items():
        assert field.default == actual[name], f"{name}: {field.default} is not {actual[name]}"
        assert len(field.doc) > 10, f"{name} has no line of explanation"
    assert len(declaration.docstring(entry)) > 100, "the module says too little about itself"
    if entry.paper is not None:
        title = " ".join(declaration.docstring(entry).split())
        assert entry.paper.title in title, "the module does not name its paper"


def check_study(entry: Entry, folder: Path) -> None:
    """The study has the method as first arm, claims between arms that exist, and an ablation."""
    study = entry.load_study()
    assert study.id == entry.id
    assert {"default", "smoke"} <= set(study.sizes)
    for size in study.sizes:
        arms = study.arms(size)
        first = next(iter(arms.values()))
        assert isinstance(first, entry.load_method()), "the first arm is another method"
        for claim in study.claims:
            named = {claim.better, claim.than} <= set(arms)
            assert named or not claim.is_about(size), f"{claim.id} names no arm"
        same = [arm for arm in arms.values() if type(arm) is type(first)]
        # A control has no parts to switch off.
        assert len(same) > 1 or entry.paper is None, "no ablation"
    assert study.claims, "no claim"
    assert len({claim.id for claim in study.claims}) == len(study.claims)
    written = [claim["id"] for claim in declaration.claims(entry)]
    assert written == [claim.id for claim in study.claims], "claims are not literals in the source"


def check_configuration(entry: Entry, folder: Path) -> None:
    """Every arm survives YAML; unknown, ill-typed and out-of-range values are refused by name."""
    study = entry.load_study()
    for size in study.sizes:
        for arm in study.arms(size).values():
            text = yaml.safe_dump(asdict(arm))
            assert configure(type(arm), yaml.safe_load(text)) == arm
    cls = entry.load_method()
    _refused(cls, {"no_such_field": 1}, "no_such_field")
    for field in declaration.fields(entry):
        if field.annotation in _OUT_OF_RANGE:
            _refused(cls, {field.name: _OUT_OF_RANGE[field.annotation]}, field.name)
        if field.annotation != "str":
            _refused(cls, {field.name: "not a value"}, field.name)


def check_run(entry: Entry, folder: Path) -> None:
    """A smoke run, stopped half way and resumed, ends in the weights of an uninterrupted one.

    So it is deterministic too; the teacher and the global random state are left alone, and the
    figures are finite.
    """
    before = torch.get_rng_state()
    with _teacher_watched(entry):
        whole = run_smoke(entry, folder / "whole")
    steps = _steps_of(folder / "whole")
    try:
        with mock.patch("bequest.run.run.StopRequest", lambda: _StopAfter(max(1, steps // 2))):
            run_smoke(entry, folder / "parts")
        raise AssertionError("the run could not be stopped")
    except StoppedError as stopped:
        assert "bequest resume" in str(stopped)
    resumed = run_smoke(entry, folder / "parts", resume=True)
    assert torch.equal(before, torch.get_rng_state()), "the global random state was moved"
    assert fingerprint(whole.model) == fingerprint(resumed.model), "resumed weights differ"
    assert all(map(math.isfinite, whole.metrics.values())), whole.metrics
    assert whole.metrics == resumed.metrics
    assert (folder / "whole" / "model.safetensors").exists()


def check_precision(entry: Entry, folder: Path) -> None:
    """Two steps in bf16 are finite."""
    result = run_smoke(entry, None, precision="bf16", budget=Budget(steps=2))
    assert all(torch.isfinite(p).all() for p in result.model.parameters())


def check_page(entry: Entry, folder: Path) -> None:
    """The documentation has a page with the paper, the fields and the claims."""
    page = render_method_page(entry)
    for claim in declaration.claims(entry):
        assert claim["sentence"] in page, f"{claim['id']} is missing"
    for field in declaration.fields(entry):
        assert field.name in page, f"{field.name} is missing"


CHECKS: tuple[Callable[[Entry, Path], None], ...] = (
    check_declaration,
    check_study,
    check_configuration,
    check_run,
    check_precision,
    check_page,
)


def check_method(id: str, folder: Path) -> None:
    """Runs every check on the method of that id; each gets a folder of its own below `folder`."""
    for check in CHECKS:
        own = folder / check.__name__
        own.mkdir()
        check(catalog.find(id), own)


def run_smoke(
    entry: Entry,
    folder: Path | None,
    *,
    precision: str = "fp32",
    budget: Budget | None = None,
    resume: bool = False,
) -> Result:
    """The first arm of the method's study at smoke size, on the CPU."""
    study = entry.load_study()
    _, method = study.arm(None, "smoke")
    with Run(
        folder,
        device="cpu",
        precision=precision,
        budget=budget or study.budget("smoke"),
        config=asdict(method),
        resume=resume,
    ) as run:
        return study.execute(method, "smoke", run)


def fingerprint(module: nn.Module) -> str:
    """A hash over names, shapes and bits of everything in the `state_dict`."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


@contextmanager
def _teacher_watched(entry: Entry) -> Iterator[None]:
    """Inside, a `fit` that changes its `teacher` or leaves gradients on it fails."""
    cls = entry.load_method()
    fit: Callable[..., Result] = cls.fit
    signature = inspect.signature(fit)

    def watched(*arguments: Any, **named: Any) -> Result:
        teacher = signature.bind(*arguments, **named).arguments.get("teacher")
        before = None if teacher is None else (fingerprint(teacher), teacher.training)
        result = fit(*arguments, **named)
        if teacher is not None:
            assert before == (fingerprint(teacher), teacher.training), "the teacher was changed"
            assert all(p.grad is None for p in teacher.parameters()), "the teacher has gradients"
        return result

    with mock.patch.object(cls, "fit", watched):
        yield


class _StopAfter:
    """Stands in for a person who presses Ctrl-C after some steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    @property
    def asked(self) -> bool:
        self._left -= 1
        return self._left < 0

    @contextmanager
    def listen(self) -> Iterator[None]:
        yield


def _steps_of(folder: Path) -> int:
    """The steps of all phases of a finished run."""
    last: dict[str, int] = {}
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = yaml.safe_load(line)
        if row["phase"] != "record":
            last[row["phase"]] = row["step"]
    return sum(last.values())


def _refused(cls: type[Any], values: dict[str, Any], name: str) -> None:
    try:
        configure(cls, values)
    except InputError as error:
        assert name in str(error), f"the error does not name {name}: {error}"
    else:
        raise AssertionError(f"{cls.__name__} accepts {values}")
