"""ZSKT: a generator seeks images on which teacher and student differ, the student closes the gap.

Paul Micaelli, Amos Storkey, "Zero-shot Knowledge Transfer via Adversarial Belief Matching",
NeurIPS 2019. On each batch of latent vectors the generator takes one step up the divergence
between teacher and student; then the student takes ten steps down the divergence on the images
that the generator now makes of the same vectors. The student also matches where the teacher's
activations are strong (attention transfer), which helps it as a regulariser. Nothing asks for
likely images, so the teacher needs no BatchNorm.

Equations: the generator maximises `KL(T(x) || S(x))`; the student minimises
`KL(T(x) || S(x)) + beta / N sum_l || f(A_l^T) / ||f(A_l^T)|| - f(A_l^S) / ||f(A_l^S)|| ||^2`, where
`f(A)` is the mean of the squared channels (algorithm 1), and `beta` = `attention_weight`.

Differs: as in the official code, the squared difference is divided by the positions of the map (the
convention of attention transfer, for which beta = 250 is meant) and summed over layers; but the
divergence is summed over classes, where the code takes the mean, which makes its beta as many times
stronger as there are classes. The generator is the library's own, with images cut to [0, 1].
Trap: while the generator learns, the student stays in training mode, as in the official code; with
running statistics it finds images on which these are behind, and the student ends lower.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.distillation import kl_divergence
from bequest.losses.inversion import adversarial_loss
from bequest.methods.base import Count, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.image_source import ImageSource
from bequest.synthesis.learner import cosine
from bequest.synthesis.observer import Monitor, observe, picture_images

Size = tuple[int, int]
"""Height and width of an activation."""


def attention_map(activation: Tensor) -> Tensor:
    """Where a layer is active: the mean of the squared channels, each sample scaled to norm 1.

    Args:
        activation: `(batch, channels, height, width)`.

    Returns:
        `(batch, height * width)`, at least 0, fp32.
    """
    return F.normalize(activation.float().square().mean(1).flatten(1), dim=1)


def attention_loss(student_maps: list[Tensor], teacher_maps: list[Tensor]) -> Tensor:
    """Mean squared difference of the attention maps, summed over layers.

    Args:
        student_maps: One `(batch, positions)` a layer.
        teacher_maps: The same shapes.

    Returns:
        A scalar, at least 0.
    """
    differences = [F.mse_loss(ours, theirs) for ours, theirs in zip(student_maps, teacher_maps)]
    return torch.stack(differences).sum()


class AttentionTap:
    """Keeps the attention maps of chosen modules in the last forward pass, with their gradient.

    Args:
        modules: From a spatial size to the module whose output of that size counts.
    """

    def __init__(self, modules: dict[Size, nn.Module]) -> None:
        self.modules = modules
        self._maps: dict[Size, Tensor] = {}
        self._stack = ExitStack()

    @property
    def maps(self) -> list[Tensor]:
        """One `(batch, positions)` a module, in the order of `modules`."""
        return [self._maps[size] for size in self.modules]

    def __enter__(self) -> AttentionTap:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            size = _spatial_size(output)
            if size is not None and self.modules.get(size) is module:
                # A copy: the network may go on to change its activation in place.
                self._maps[size] = attention_map(output.clone())

        for module in set(self.modules.values()):
            self._stack.callback(module.register_forward_hook(keep).remove)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class Taps(NamedTuple):
    """One tap a network, on activations of the same spatial sizes in the same order."""

    teacher: AttentionTap
    student: AttentionTap


def matched_taps(teacher: nn.Module, student: nn.Module, image_size: tuple[int, int, int]) -> Taps:
    """Taps on the last activation of each spatial size that both networks have.

    The last activation of a size is the output of the module that is the last to give one of that
    size: the end of a residual stage, for example. Maps of one position say nothing and are left
    out.

    Args:
        teacher: Takes images of `image_size`; run once.
        student: The same.
        image_size: `(channels, height, width)`.

    Raises:
        InputError: When the networks have no spatial size in common.
    """
    ours, theirs = _last_modules(student, image_size), _last_modules(teacher, image_size)
    common = [size for size in theirs if size in ours]
    if not common:
        raise InputError(
            f"Attention transfer compares activations of one spatial size, but the teacher has "
            f"{_listed(theirs)} and the student {_listed(ours)}. Set attention_weight to 0."
        )
    return Taps(
        teacher=AttentionTap({size: theirs[size] for size in common}),
        student=AttentionTap({size: ours[size] for size in common}),
    )


def _last_modules(network: nn.Module, image_size: tuple[int, int, int]) -> dict[Size, nn.Module]:
    last: dict[Size, nn.Module] = {}

    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        size = _spatial_size(output)
        if size is not None:
            last[size] = module

    reference = next(network.parameters(), torch.empty(0))
    with ExitStack() as hooks, frozen(network), torch.no_grad():
        for module in network.modules():
            hooks.callback(module.register_forward_hook(look).remove)
        network(torch.zeros((2, *image_size), device=reference.device))
    return last


def _spatial_size(output: Any) -> Size | None:
    if not isinstance(output, Tensor) or output.dim() != 4:
        return None
    height, width = output.shape[2:]
    return (height, width) if height * width > 1 else None


def _listed(sizes: Iterable[Size]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in sizes) or "none"


@method
class ZSKT:
    """Zero-shot Knowledge Transfer via Adversarial Belief Matching."""

    rounds: Count = 80_000
    """Batches of latent vectors (paper: 80,000 on CIFAR-10)."""
    generator_steps: NonNegativeInt = 1
    """Steps of the generator a round (paper: 1); 0 leaves it as it was drawn."""
    student_steps: Count = 10
    """Steps of the student a round, on one batch of images (paper: 10)."""
    batch_size: Count = 128
    """Images of a step (paper: 128)."""
    attention_weight: NonNegative = 250.0
    """beta, of the attention term (paper: 250); 0 leaves it out."""
    lr_generator: Positive = 1e-3
    """Of the generator's Adam (paper: 1e-3); cosine to a thousandth of it."""
    latent_dim: Count = 100
    """Length of the latent vectors (paper: 100)."""
    generator_width: Count = 64
    """Channels of the generator's last hidden layer (paper: 64)."""
    temperature: Positive = 1.0
    """T of the student's loss (paper: 1); the generator's is 1."""
    learning_rate: Positive = 2e-3
    """Of the student's Adam (paper: 2e-3); cosine to a thousandth of it."""
    max_gradient_norm: Positive = 5.0
    """Longer gradients of generator and student are scaled down to this norm (official code)."""

    def fit(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        image_size: tuple[int, int, int],
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place to answer as `teacher` does, without any data.

        See `SSDKD.fit` for the arguments.

        Raises:
            InputError: When there is an attention term and the networks share no spatial size.
        """
        teacher, student = run.place(teacher), run.place(student).train()
        source = ImageSource(
            teacher,
            image_size,
            run,
            latent_dim=self.latent_dim,
            width=self.generator_width,
            learning_rate=self.lr_generator,
        )
        optimizer = torch.optim.Adam(student.parameters(), lr=self.learning_rate)
        state = {"student": student, "optimizer": optimizer, "source": source}

        with frozen(teacher), ExitStack() as stack:
            taps = None
            if self.attention_weight > 0:
                taps = matched_taps(teacher, student, image_size)
                for tap in taps:
                    stack.enter_context(tap)

            for _ in run.steps(self.rounds, name="distillation", state=state):
                if run.due(times=20):
                    observe(student, None, run, monitor, fresh=lambda: source.held_back(teacher))

                with run.section("inversion"):
                    latent = source.draw(self.batch_size)
                    for _ in range(self.generator_steps):
                        with frozen(student), run.autocast():
                            # In training mode: with running statistics, the generator would seek
                            # where these are behind rather than where the student is wrong.
                            student.train()
                            images = source.generator(latent)
                            gap = adversarial_loss(student(images), teacher(images))
                            source.step(
                                gap, rate=cosine(run.fraction), max_norm=self.max_gradient_norm
                            )
                        run.log(adversarial=gap)
                    with torch.no_grad(), run.autocast():
                        images = source.generator(latent)
                        logits = teacher(images)

                for _ in range(self.student_steps):
                    with run.autocast():
                        answer = student(images)
                    loss = kl_divergence(answer, logits, temperature=self.temperature).mean()
                    if taps is not None:
                        attention = attention_loss(taps.student.maps, taps.teacher.maps)
                        loss = loss + self.attention_weight * attention
                        run.log(attention=attention)
                    for group in optimizer.param_groups:
                        group["lr"] = self.learning_rate * cosine(run.fraction)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    run.reduce(student)
                    nn.utils.clip_grad_norm_(student.parameters(), self.max_gradient_norm)
                    optimizer.step()
                    run.log(loss=loss)

            figures = observe(student, None, run, monitor, fresh=lambda: source.held_back(teacher))
            picture_images(*source.held_back(teacher), run)
        return run.result(student, figures)
