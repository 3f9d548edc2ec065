"""CoCa's step by its parts: what it equals without them, and what each of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError, StoppedError
from bequest.losses.ensembling import ensembled_logits
from bequest.memory.protocols import class_incremental, exams_by_task
from bequest.memory.stream import Exam, Stream
from bequest.methods.base import change
from bequest.methods.continual.coca import CoCa, Lesson
from bequest.methods.continual.experience_replay import ExperienceReplay
from bequest.nn import zoo
from bequest.run import Budget, Run
from bequest.testing import _StopAfter, fingerprint

TASKS = ((0, 1), (2, 3))
SHARED: dict[str, Any] = {
    "buffer_size": 12,
    "replay_batch": 8,
    "crop_padding": 1,
    "alpha": 0.5,
    "beta": 0.7,
}
COCA = CoCa(**SHARED, ensemble=0.2)
DER = ExperienceReplay(**SHARED)


def stream(epochs: int = 2) -> Stream:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(256, (64, 1, 8, 8), generator=rng, dtype=torch.uint8)
    return class_incremental(
        images,
        torch.arange(64) % 4,
        tasks=TASKS,
        num_classes=4,
        batch_size=8,
        rng=rng,
        epochs=epochs,
    )


def exams() -> list[Exam]:
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(256, (40, 1, 8, 8), generator=rng, dtype=torch.uint8)
    return exams_by_task(images, torch.arange(40) % 4, tasks=TASKS)


def network(num_classes: int = 4) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return zoo.build("convnet4", num_classes=num_classes, in_channels=1)


def fit(method: CoCa | ExperienceReplay, folder: Path | None = None, **options: Any) -> tuple:
    with Run(folder, device="cpu", precision="fp32", **options) as run:
        result = method.fit(network(), stream=stream(), exams=exams(), run=run)
    return result, run


def lesson(method: CoCa, run: Run) -> Lesson:
    return Lesson(run.place(network()), stream(), method, run)


def test_without_its_parts_it_is_der_plus_plus_bit_by_bit() -> None:
    bare = change(COCA, ensemble=0.0, contrast_weight=0.0, pretext_weight=0.0)
    ours, theirs = fit(bare)[0], fit(DER)[0]
    assert fingerprint(ours.model) == fingerprint(theirs.model)
    assert ours.metrics == theirs.metrics


@pytest.mark.parametrize(
    "changes",
    [
        {"ensemble": 0.0},
        {"propagation": 0.5},
        {"contrast_weight": 0.0},
        {"pretext_weight": 0.0},
        {"pretext": "turns-and-cuts"},
        {"turn": 20.0},
        {"boundaries": True},
        {"alpha": 0.0},
        {"beta": 0.0},
    ],
    ids=str,
)
def test_each_part_changes_what_is_learnt(changes: dict) -> None:
    assert fingerprint(fit(COCA)[0].model) != fingerprint(fit(change(COCA, **changes))[0].model)


def test_distillation_is_ders_error_without_the_ensemble() -> None:
    logits, reserved = torch.randn(6, 4), torch.randn(6, 4)
    vectors = F.normalize(torch.randn(6, 5), dim=1)
    with Run(device="cpu") as run:
        plain = lesson(change(COCA, ensemble=0.0), run).target(logits, vectors, reserved)
        mixed = lesson(COCA, run).target(logits, vectors, reserved)
    assert plain is reserved
    expected = 0.8 * reserved + 0.2 * ensembled_logits(logits, vectors, weight=0.1)
    torch.testing.assert_close(mixed, expected)


def test_terms_of_a_step_are_those_of_the_paper() -> None:
    seen: dict[str, float] = {}
    with Run(device="cpu", precision="fp32") as run:
        one = lesson(COCA, run)
        one.step(0)
        update = one.rehearsal.update

        def watched(terms: dict[str, Tensor]) -> None:
            seen.update({name: term.item() for name, term in terms.items()})
            update(terms)

        with mock.patch.object(one.rehearsal, "update", watched):
            one.step(1)
    assert list(seen) == ["current", "distillation", "replay", "contrast", "pretext"]
    assert all(value > 0 for value in seen.values())


def test_the_first_step_has_nothing_to_replay() -> None:
    looks: list[int] = []
    with Run(device="cpu", precision="fp32") as run:
        one = lesson(COCA, run)
        look = one.look

        def counted(views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            looks.append(len(views))
            return look(views)

        with mock.patch.object(one, "look", counted):
            one.step(0)
            assert looks == [8, 8]  # what arrives, and its changed copies
            looks.clear()
            one.step(1)
    # What arrives; one draw; another; changed copies of the first and the last of these.
    assert looks == [8, 8, 8, 16]


def test_both_draws_are_independent() -> None:
    with Run(device="cpu", precision="fp32") as run:
        one = lesson(COCA, run)
        one.step(0)
        one.step(1)
        first, second = one.rehearsal.drawn(), one.rehearsal.drawn()
    assert not torch.equal(first.logits, second.logits)


def test_the_memory_holds_plain_images_and_logits_of_their_views_before_the_update() -> None:
    with Run(device="cpu", precision="fp32") as run:
        one = lesson(change(COCA, buffer_size=100), run)
        answers: list[Tensor] = []
        look = one.look

        def kept(views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            out = look(views)
            answers.append(out[0].detach().clone())
            return out

        with mock.patch.object(one, "look", kept):
            one.step(0)
        memory = one.rehearsal.memory
        assert memory is not None
        images, labels = one.rehearsal.stream.batch(0)
        assert torch.equal(memory["images"], images)
        assert torch.equal(memory["labels"], labels)
        assert torch.equal(memory["logits"], answers[0])
        with torch.no_grad():
            after, _, _ = look(images.float() / 255)
    assert not torch.allclose(memory["logits"], after)


def test_boundaries_leave_logits_of_other_tasks_alone() -> None:
    with Run(device="cpu", precision="fp32") as run:
        told = lesson(change(COCA, boundaries=True), run).rehearsal
        logits = torch.randn(3, 4, requires_grad=True)
        told.current_loss(logits, torch.tensor([2, 3, 2]), step=8).backward()
        assert logits.grad is not None
        assert (logits.grad[:, :2] == 0).all()
        assert (logits.grad[:, 2:] != 0).all()
        seen = told.replay_loss(logits, torch.tensor([0, 3, 2]), step=8)
        torch.testing.assert_close(seen, F.cross_entropy(logits, torch.tensor([0, 3, 2])))


def test_self_supervision_is_learnt() -> None:
    method = change(COCA, learning_rate=0.1, temperature=0.5)
    rows: dict[str, list[float]] = {"contrast": [], "pretext": []}
    # Images whose turns can be told: bright at the top.
    images = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    images[:, :, :3] = 255
    images[::2, :, :, :3] += 100
    s = class_incremental(
        images,
        torch.arange(64) % 2,
        tasks=((0, 1),),
        num_classes=4,
        batch_size=16,
        rng=torch.Generator().manual_seed(0),
        epochs=15,
    )
    with Run(device="cpu", precision="fp32") as run:
        one = Lesson(run.place(network()), s, method, run)
        with mock.patch.object(run, "log", lambda **v: [rows[n].append(v[n].item()) for n in rows]):
            for step in range(len(s)):
                one.step(step)
    fallen = {name: sum(values[-5:]) / sum(values[1:6]) for name, values in rows.items()}
    assert fallen["pretext"] < 0.8
    assert fallen["contrast"] < 0.95  # its floor is the logarithm of the positives


def test_heads_are_dropped_and_the_network_comes_back() -> None:
    result, _ = fit(COCA)
    assert set(result.model.state_dict()) == set(network().state_dict())
    assert fingerprint(result.model) != fingerprint(network())


def test_a_stopped_run_goes_on_to_the_same_end_in_the_middle_of_a_task(tmp_path: Path) -> None:
    whole, _ = fit(COCA, tmp_path / "whole")
    for stop in (3, 9):
        folder = tmp_path / f"parts{stop}"
        with (
            mock.patch("bequest.run.run.StopRequest", lambda stop=stop: _StopAfter(stop)),
            pytest.raises(StoppedError),
        ):
            fit(COCA, folder)
        resumed, _ = fit(COCA, folder, resume=True)
        assert fingerprint(resumed.model) == fingerprint(whole.model)
        assert resumed.metrics == whole.metrics


def test_a_budget_may_end_the_stream_early() -> None:
    result, _ = fit(COCA, budget=Budget(steps=2))
    assert result.metrics["forgetting"] == 0
    assert 0 <= result.metrics["accuracy"] <= 100


def test_matrices_become_tables_and_pictures(tmp_path: Path) -> None:
    fit(DER, tmp_path / "run")
    for name in ("accuracy_by_task", "accuracy_task_told"):
        assert (tmp_path / "run" / "pictures" / f"{name}.png").exists()
        assert (tmp_path / "run" / "tables" / f"{name}.json").exists()


def test_exams_move_nothing() -> None:
    class Blind:
        def __init__(self, *_: Any) -> None: ...
        def sit(self, *_: Any) -> None: ...
        def report(self, *_: Any) -> dict[str, float]:
            return {}

        def state_dict(self) -> dict[str, float]:
            return {}

    asked, _ = fit(COCA)
    with mock.patch("bequest.methods.continual.coca.Examiner", Blind):
        unasked, _ = fit(COCA)
    assert fingerprint(asked.model) == fingerprint(unasked.model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": network(3)}, r"\(2, 3\) for 2 images; \(2, 4\)"),
        ({"exams": []}, "no exam"),
        (
            {
                "exams": [
                    Exam(
                        name="wide",
                        images=torch.zeros(1, 1, 8, 9, dtype=torch.uint8),
                        labels=torch.tensor([0]),
                        classes=(0,),
                        learnt=0,
                    )
                ]
            },
            "'wide' has images",
        ),
    ],
    ids=["classes", "no-exam", "size"],
)
@pytest.mark.parametrize("method", [COCA, DER], ids=["coca", "der"])
def test_what_does_not_fit_is_refused(
    method: CoCa | ExperienceReplay, changes: dict, message: str
) -> None:
    given = {"network": network(), "exams": exams()} | changes
    with Run(device="cpu") as run, pytest.raises(InputError, match=message):
        method.fit(given.pop("network"), stream=stream(), run=run, **given)


def test_a_network_without_a_linear_layer_is_refused() -> None:
    bare = nn.Sequential(nn.Conv2d(1, 4, 8), nn.Flatten())
    with Run(device="cpu") as run, pytest.raises(InputError, match=r"no nn\.Linear"):
        COCA.fit(bare, stream=stream(), exams=exams(), run=run)
