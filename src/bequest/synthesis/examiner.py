"""Exams along a stream: accuracies by task, what was forgotten, and the picture of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.losses.distillation import accuracy
from bequest.memory.stream import Exam, Stream
from bequest.metrics import continual
from bequest.run import Run
from bequest.run.pictures import drawn
from bequest.synthesis.observer import predict

_NUMBERS_SHOWN = 12


class Examiner:
    """Asks a network whenever an exam is due, and keeps the answers' accuracies in percent.

    Exams are for reporting only: they move neither the network nor any random generator.

    Args:
        exams: At least one.
        stream: Says when they are due; before the first step, too.
        run: Takes the figures; the time goes to the section `evaluation`.

    Raises:
        InputError: Where exams and stream do not fit.
    """

    def __init__(self, exams: Sequence[Exam], stream: Stream, run: Run) -> None:
        if not exams:
            raise InputError("There is no exam: give at least one, with images of every task.")
        for exam in exams:
            if tuple(exam.images.shape[1:]) != stream.image_size:
                raise InputError(
                    f"Exam '{exam.name}' has images of {tuple(exam.images.shape[1:])}, the stream "
                    f"of {stream.image_size}."
                )
            if max(exam.classes) >= stream.num_classes:
                raise InputError(
                    f"Exam '{exam.name}' has classes {exam.classes}, the stream "
                    f"{stream.num_classes} classes."
                )
        self.exams, self.run = tuple(exams), run
        self._due = (0, *stream.ends)
        self._data = [(e.images.to(run.device), e.labels.to(run.device)) for e in exams]
        self.rows: list[list[float]] = []
        """Accuracies among all classes: one row before the stream, then one a stretch."""
        self.told_rows: list[list[float]] = []
        """The same for a network that is told the task."""

    def sit(self, step: int, network: nn.Module) -> None:
        """Asks `network` if an exam is due before step number `step`, which is not done yet."""
        if step in self._due[len(self.rows) :]:
            self._ask(network)

    def report(self, network: nn.Module) -> dict[str, float]:
        """The last exam, the figures, the table and the pictures.

        Returns:
            In percent: `accuracy`, `average_accuracy`, `forgetting`, `backward_transfer`; and for
            a network that is told the task `task_accuracy`, `task_forgetting`, `forward_transfer`.
        """
        if len(self.rows) < len(self._due):  # a budget may end a stream before its last exam
            self._ask(network)
        learnt = [min(exam.learnt, len(self.rows) - 2) for exam in self.exams]
        every, told = (torch.tensor(rows) for rows in (self.rows, self.told_rows))
        figures = {
            "accuracy": continual.final_accuracy(every[1:]),
            "average_accuracy": continual.average_accuracy(every[1:], learnt),
            "forgetting": continual.forgetting(every[1:], learnt),
            "backward_transfer": continual.backward_transfer(every[1:], learnt),
            "task_accuracy": continual.final_accuracy(told[1:]),
            "task_forgetting": continual.forgetting(told[1:], learnt),
            "forward_transfer": continual.forward_transfer(told[1:], told[0], learnt),
        }
        names = [exam.name for exam in self.exams]
        for name, matrix in (("accuracy_by_task", every), ("accuracy_task_told", told)):
            self.run.table(name, {key: column.tolist() for key, column in zip(names, matrix.T)})
            self.run.picture(name, matrix_chart(matrix, names))
        return figures

    def _ask(self, network: nn.Module) -> None:
        row, told_row = [], []
        with self.run.section("evaluation"):
            for exam, (images, labels) in zip(self.exams, self._data):
                logits = predict(network, images, self.run)
                row.append(100 * accuracy(logits, labels).item())
                told = continual.task_accuracy(logits, labels, exam.classes)
                told_row.append(100 * told.item())
        self.rows.append(row)
        self.told_rows.append(told_row)
        self.run.record(accuracy=sum(row) / len(row), task_accuracy=sum(told_row) / len(told_row))

    def state_dict(self) -> dict[str, Any]:
        """Everything asked so far, for a checkpoint."""
        return {
            "rows": [list(row) for row in self.rows],
            "told_rows": [list(row) for row in self.told_rows],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.rows = [list(row) for row in state["rows"]]
        self.told_rows = [list(row) for row in state["told_rows"]]


def matrix_chart(matrix: Tensor, names: Sequence[str]) -> Tensor:
    """The accuracies after each stretch, exam by exam, as a picture.

    Args:
        matrix: `(1 + stretches, exams)` in percent; the first row is the untrained network's.
        names: Of the exams.

    Returns:
        `(1, 3, height, width)` in [0, 1].
    """
    from matplotlib.figure import Figure

    rows, columns = matrix.shape
    size = (2.2 + 0.55 * min(columns, 20), 1.6 + 0.4 * min(rows, 20))
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(matrix.numpy(), cmap="viridis", vmin=0, vmax=100, aspect="auto")
    if columns <= _NUMBERS_SHOWN:
        for row in range(rows):
            for column in range(columns):
                value = matrix[row, column].item()
                colour = "black" if value > 60 else "white"
                axes.text(
                    column, row, f"{value:.0f}", ha="center", va="center", color=colour, size=8
                )
    axes.set_xticks(range(columns), [str(name) for name in names], size=8)
    axes.set_yticks(range(rows), ["untrained", *(str(n) for n in range(1, rows))], size=8)
    axes.set_xlabel("exam")
    axes.set_ylabel("after stretch")
    axes.set_title("accuracy, %", size=9)
    return drawn(figure)
