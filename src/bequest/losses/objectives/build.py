"""Any objective by its name, made to fit two networks: one call signature for all.

seen = watch(student, taps), watch(teacher, taps)          (bequest.nn.watch)
objective = build("vid", student=..., teacher=...)         one forward pass of each, for shapes
loss = objective(student(images), teacher(images), labels=labels)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.losses.alignment import weighted_map_error
from bequest.losses.distillation import kl_divergence
from bequest.losses.objectives.attention import attention_transfer
from bequest.losses.objectives.boundaries import ActivationBoundaries
from bequest.losses.objectives.catalog import Objective, find
from bequest.losses.objectives.correlation import correlation_congruence
from bequest.losses.objectives.dist import dist
from bequest.losses.objectives.dkd import dkd
from bequest.losses.objectives.factors import FactorTransfer
from bequest.losses.objectives.fitnets import Hint
from bequest.losses.objectives.information import VariationalInformation
from bequest.losses.objectives.probabilistic import pkt
from bequest.losses.objectives.projector import to_common_size
from bequest.losses.objectives.relational import rkd
from bequest.losses.objectives.representation import ContrastiveRepresentation
from bequest.losses.objectives.review import Review
from bequest.losses.objectives.selectivity import neuron_selectivity
from bequest.losses.objectives.shapes import require_same_shape
from bequest.losses.objectives.similarity import similarity_preserving
from bequest.losses.objectives.standardization import standardized_kd
from bequest.ops.outputs import Outputs


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an objective can be told; those that do not know a setting leave it alone.

    Attributes:
        temperature: T of objectives on logits; None is the published one.
        beta: DKD, of the other classes.
        negatives: CRD, drawn for each sample.
        seed: CRD, of its first banks.
    """

    temperature: float | None = None
    beta: float = 8.0
    negatives: int = 16_384
    seed: int = 0


class Fitted(nn.Module):
    """An objective that fits two networks; what it has learnt is in its `state_dict`.

    Args:
        row: Of the catalogue.
        compare: `(learnt, student, teacher, labels, places, rng)` to a scalar.
        learnt: What is trained with the student; empty where nothing is learnt.
    """

    def __init__(
        self, row: Objective, compare: Callable[..., Tensor], learnt: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.learnt = learnt or nn.Identity()
        self._compare = compare

    def forward(
        self,
        student: Outputs,
        teacher: Outputs,
        *,
        labels: Tensor | None = None,
        places: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """A scalar, unweighted; gradients reach the student and what is learnt, never the teacher.

        Args:
            student: In fp32, with the graph of its forward pass.
            teacher: On the same samples.
            labels: `(batch,)`, for objectives that look at them.
            places: `(batch,)`, which samples these are, for objectives that remember them.
            rng: For objectives that draw; None is PyTorch's own.

        Raises:
            InputError: When something that the objective needs is missing or does not fit.
        """
        needed = {"labels": (self.row.labels, labels), "places": (self.row.places, places)}
        missing = [name for name, (needs, given) in needed.items() if needs and given is None]
        if missing:
            raise InputError(f"{self.row.name} needs {' and '.join(missing)} of the samples.")
        return self._compare(self.learnt, student, teacher, labels, places, rng)


def build(
    objective: str,
    *,
    student: Outputs,
    teacher: Outputs,
    labels: Tensor | None = None,
    settings: Settings | None = None,
) -> Fitted:
    """The objective of that id, with projectors and whatever else it learns for these shapes.

    Args:
        objective: An id of `bequest.losses.objectives.catalog`, but `none`.
        student: One forward pass of any batch, for its shapes; maps in order of depth.
        teacher: The same of the teacher.
        labels: `(count,)` of all samples there are, for `crd`.
        settings: None is as published.

    Returns:
        A module to be trained with the student, though most learn nothing. It is on the device of
        the student's logits.

    Raises:
        InputError: For an unknown name, class counts that differ, or taps that do not fit: names
            both shapes.
    """
    row = find(objective)
    settings = settings or Settings()
    if student.logits.shape[1] != teacher.logits.shape[1]:
        raise InputError(
            f"The student has {student.logits.shape[1]} classes, the teacher "
            f"{teacher.logits.shape[1]}: they must answer for the same ones."
        )
    if row.needs == "features" and (student.features is None or teacher.features is None):
        raise InputError(f"{row.name} needs the input of the last linear layer of both networks.")
    if row.needs == "maps":
        pairs = to_common_size(student.maps, teacher.maps)
        student = student._replace(maps=tuple(ours for ours, _ in pairs))
        teacher = teacher._replace(maps=tuple(theirs for _, theirs in pairs))
    fitted = _fit(row, student, teacher, labels, settings)
    return fitted.to(student.logits.device)


def _fit(
    row: Objective, student: Outputs, teacher: Outputs, labels: Tensor | None, settings: Settings
) -> Fitted:
    """One line a comparison: `m` is what is learnt, `s` and `t` are the two networks' outputs."""
    T = settings.temperature or row.temperature or 1.0
    ours, theirs = ([m.shape[1] for m in one.maps] for one in (student, teacher))
    middle = (len(ours) - 1) // 2
    match row.id:
        case "kd":
            return Fitted(row, lambda m, s, t, *_: _kd(s.logits, t.logits, temperature=T))
        case "dkd":
            beta = settings.beta
            return Fitted(
                row,
                lambda m, s, t, y, *_: dkd(s.logits, t.logits, y, beta=beta, temperature=T),
            )
        case "dist":
            return Fitted(row, lambda m, s, t, *_: dist(s.logits, t.logits, temperature=T))
        case "logit-standardization":
            return Fitted(
                row, lambda m, s, t, *_: standardized_kd(s.logits, t.logits, temperature=T)
            )
        case "rkd":
            return Fitted(row, lambda m, s, t, *_: rkd(s.features, t.features))
        case "cc":
            return Fitted(row, lambda m, s, t, *_: correlation_congruence(s.features, t.features))
        case "pkt":
            return Fitted(row, lambda m, s, t, *_: pkt(s.features, t.features))
        case "crd":
            contrast = _contrast(student, teacher, labels, settings)
            return Fitted(
                row,
                lambda m, s, t, y, places, rng: m(s.features, t.features, places, rng),
                contrast,
            )
        case "fitnets":
            hint = Hint(ours[middle], theirs[middle])
            return Fitted(row, lambda m, s, t, *_: m(s.maps[middle], t.maps[middle]), hint)
        case "attention":
            return Fitted(row, lambda m, s, t, *_: attention_transfer(s.maps, t.maps))
        case "sp":
            return Fitted(row, lambda m, s, t, *_: similarity_preserving(s.maps[-1], t.maps[-1]))
        case "nst":
            return Fitted(row, lambda m, s, t, *_: neuron_selectivity(s.maps, t.maps))
        case "vid":
            each = nn.ModuleList(map(VariationalInformation, ours, theirs))
            return Fitted(row, lambda m, s, t, *_: _summed(m, s.maps, t.maps), each)
        case "ab":
            boundaries = ActivationBoundaries(ours, theirs)
            return Fitted(row, lambda m, s, t, *_: m(s.maps, t.maps), boundaries)
        case "ft":
            factors = FactorTransfer(ours[-1], theirs[-1])
            return Fitted(row, lambda m, s, t, *_: m(s.maps[-1], t.maps[-1]), factors)
        case "reviewkd":
            channels = ([m.shape[1] for m in _stages(one)] for one in (student, teacher))
            return Fitted(row, lambda m, s, t, *_: m(_stages(s), _stages(t)), Review(*channels))
        case "simkd":
            require_same_shape(student.maps[-1], teacher.maps[-1], what="projected maps")
            return Fitted(row, lambda m, s, t, *_: weighted_map_error(s.maps[-1], t.maps[-1]))
    raise InputError(f"'{row.id}' compares nothing: leave the objective out.")


def _kd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    require_same_shape(student, teacher, what="logits")
    return kl_divergence(student, teacher.detach(), temperature=temperature).mean()


def _contrast(
    student: Outputs, teacher: Outputs, labels: Tensor | None, settings: Settings
) -> ContrastiveRepresentation:
    if labels is None:
        raise InputError("CRD needs the labels of all samples: it draws negatives by class.")
    assert student.features is not None
    assert teacher.features is not None
    return ContrastiveRepresentation(
        student.features.shape[1],
        teacher.features.shape[1],
        labels=labels.cpu(),
        negatives=settings.negatives,
        seed=settings.seed,
    )


def _summed(each: nn.ModuleList, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    return torch.stack([one(*pair) for one, *pair in zip(each, ours, theirs)]).sum()


def _stages(seen: Outputs) -> tuple[Tensor, ...]:
    """The maps, and the pooled features as the deepest one where they were kept."""
    if seen.features is None:
        return seen.maps
    return (*seen.maps, seen.features[:, :, None, None])
