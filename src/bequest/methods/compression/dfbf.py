"""DFBF: a pruned backbone healed without data, by following the unpruned one layer by layer.

Adrian Holzbock, Achyut Hegde, Klaus Dietmayer, Vasileios Belagiannis, "Data-Free Backbone
Fine-Tuning for Pruned Neural Networks", EUSIPCO 2023. In: a trained network, and which part of it
is the backbone. Filters of small magnitude leave the backbone in one shot; images are synthesised
from the unpruned network alone; on them the pruned backbone learns to give the feature maps of
the unpruned one after every block. Out: the same network with a smaller backbone under its
untouched head, whatever the head does.

    R_bn = sum_l ||mean_l - mu_l||_2 + ||var_l - sigma^2_l||_2      (synthesis/statistics.py)
    L(x) = L_task + a_bn R_bn + a_tv R_tv + a_l2 R_l2               (the pixels)
    L    = sum_i w_i mean |g_i(x) - f_i(x)|,  w_i = 1 + k i / N     (the pruned backbone g)

Defaults are those of the authors' code for CIFAR-10.

Differs: the paper speaks of L1 scores, its code sums squares: `l1` is the paper's, `l2` the code's.
Differs: which filters may leave is found from the network (torch-pruning), where the code knows
ResNet and VGG only; for these it is the same choice, but for the convolutions of a VGG's stages.
Differs: pixels are clamped to the network's own range; the code clamps CIFAR to ImageNet's.
Differs: the priors are means over the images of the batch (`synthesis/priors.py`), and the first
BatchNorm layer has no weight of its own (10 in the code for detection and pose, 1 for CIFAR).
Trap: the nominal sparsity is not what leaves. Stem, shortcuts and block outputs stay, and the
layer-dependent rule takes 0.4 of it from narrow layers: see `removed_parameters` of the result.
Trap: in training mode the student's BatchNorm takes its statistics from synthetic images; the
teacher stays in eval mode.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.supervision import intermediate_loss, ramp_weights
from bequest.memory.replay import to_bytes
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn import cost
from bequest.nn.modes import frozen
from bequest.nn.narrow import RECORD, write_record
from bequest.nn.pruning import PruningReport, prune_backbone
from bequest.nn.taps import Layout, Taps, layout
from bequest.run import Result, Run
from bequest.run.update import update
from bequest.synthesis.host import Host, in_unit, summary
from bequest.synthesis.image_source import normalization
from bequest.synthesis.observer import Monitor
from bequest.synthesis.pixels import PixelBatches
from bequest.synthesis.priors import l2_prior, total_variation
from bequest.synthesis.reference import Reference
from bequest.synthesis.statistics import BatchNormStatistics

_HELD_BACK_EVERY = 16
_DECAY = 0.1


@method
class DFBF:
    """Prune, synthesise, heal; with `epochs` 0 prune only."""

    sparsity: Fraction = 0.5
    """Nominal share of the filters that leave; the authors' 0.5 for CIFAR, 0.1 for COCO, VOC."""
    rule: Literal["layer-dependent", "uniform"] = "layer-dependent"
    """A layer of 500 filters or more loses 1.3 times the sparsity, one of 200 or fewer 0.4 times;
    `uniform`: each layer the same."""
    criterion: Literal["l1", "l2", "bn"] = "l1"
    """Filters of small absolute weights, small squares, or small BatchNorm scale leave."""
    min_channels: Count = 10
    """So many filters of a layer stay at least ("about 10" in the code)."""
    images: Literal["inverted", "noise", "real"] = "inverted"
    """Healed on: images synthesised from the unpruned network, the noise that these begin as, or
    real ones that `fit` is given (the authors' switch for the upper bound)."""
    batches: Count = 50
    """Batches of images; they are made once and seen again every epoch."""
    synthesis_batch: Count = 256
    """Images of such a batch; every sixteenth is held back to measure on."""
    inversion_steps: Count = 2000
    """Adam steps on the pixels of one batch."""
    half_resolution_steps: NonNegativeInt = 0
    """The first so many of them see the batch at half its resolution (detection, pose: 2000 of
    3000)."""
    lr_pixels: Positive = 0.1
    """Of these steps, in standard deviations of the normalisation (detection, pose: 0.25)."""
    warm_up: Fraction = 0.05
    """Share of these steps in which their rate rises; then it falls as a cosine (100 of 2000)."""
    jitter: NonNegativeInt = 2
    """Each look rolls the batch by up to so many pixels both ways (detection, pose: 30)."""
    flip: bool = False
    """Each look mirrors the batch with probability one half (detection, pose: on)."""
    task_weight: NonNegative = 1.0
    """Of the cross-entropy to balanced classes, L_task; only where `fit` knows the classes."""
    bn_weight: NonNegative = 10.0
    """Of the BatchNorm statistics, a_bn (detection, pose: 0.01)."""
    tv_weight: NonNegative = 0.016
    """Of the total variation, a_tv: the authors' 1e-3 for a norm over 256 images."""
    l2_weight: NonNegative = 0.0
    """Of the distance from the mean colour, a_l2 (detection, pose: 1e-5)."""
    supervision: Literal["intermediate", "output"] = "intermediate"
    """What is compared: the outputs of all blocks, or the last one alone (the backbone's)."""
    distance: Literal["l1", "mse", "huber", "smooth-l1"] = "l1"
    """How: the mean over a map's elements; Huber and SmoothL1 with a knee at 0.06."""
    ramp: NonNegative = 0.0
    """k of the weights 1 + k i / N of the taps (detection: 1 to 3, pose: 6)."""
    taps: str = ""
    """Names of the backbone's modules to compare, with commas between them; without them its blocks
    are found."""
    epochs: NonNegativeInt = 200
    """Passes over the images; 0 leaves the backbone as pruning made it."""
    batch_size: Count = 256
    """Images of a healing step."""
    learning_rate: Positive = 0.01
    """Of the SGD that heals."""
    momentum: Fraction = 0.9
    """Of this SGD."""
    weight_decay: NonNegative = 5e-4
    """Of this SGD."""
    decay_at: Fraction = 0.75
    """From this share of the healing on, the learning rate is a tenth (epoch 150 of 200)."""
    renew_statistics: bool = True
    """Heal with BatchNorm in training mode, which renews its statistics, as the authors do; off:
    the statistics of the unpruned network stay."""

    def fit(
        self,
        teacher: nn.Module,
        *,
        image_size: tuple[int, int, int],
        run: Run,
        num_classes: int | None = None,
        backbone: str = "",
        real_images: Tensor | None = None,
        monitor: Monitor | None = None,
    ) -> Result:
        """Makes a pruned and healed copy of `teacher`.

        Args:
            teacher: Trained; takes images in [0, 1] (see `nn.normalize.Normalized`). Left as it
                is, but for the device.
            image_size: `(channels, height, width)`.
            run: How to execute; with a folder, `architecture.json` tells the channels that stay.
            num_classes: Of a classifier with logits `(batch, num_classes)`: the whole network is
                inverted, under L_task too. None: the backbone alone is, without labels.
            backbone: Name of the module to prune, inside a `Normalized` wrapper where there is
                one; it takes normalised images. "" is the whole network; what comes after its
                last tap is never touched.
            real_images: uint8 `(count, channels, height, width)` for `images="real"`.
            monitor: Figures of a whole network, for the report.

        Returns:
            The whole network with its smaller backbone; parameters, multiply-accumulates, and the
            monitor's figures of the unpruned network, of the pruned and of the healed one.

        Raises:
            InputError: For a backbone that cannot be pruned so (see `prune_backbone`), one without
                BatchNorm where images are inverted with `bn_weight` above 0, and real images that
                are missing, too few or of another size.
        """
        host = Host(run.place(teacher), backbone)
        self._require_images(host, image_size, real_images)
        plan, pruned, report = self.prune(host, image_size)
        example = _example(host, image_size)
        student = Host(host.with_part(pruned), backbone)
        if run.folder is not None and run.is_main:
            write_record(run.folder / RECORD, host.named(report.layers))
        figures = {"removed_parameters": 100 * report.realised, **_costs(host, student, example)}
        with run.section("evaluation"):
            for state, network in (("unpruned", host.network), ("pruned", student.network)):
                found = monitor(network) if monitor is not None else {}
                figures |= {f"{state}_{name}": value for name, value in found.items()}

        bank = self._first_images(host, image_size, real_images, run)
        with frozen(host.network):
            if self.images == "inverted" and self.epochs:
                self.synthesise(host, bank, run=run, num_classes=num_classes)
            self.heal(host, student, plan, bank, run=run)
            held_back = in_unit(bank[_HELD_BACK_EVERY - 1 :: _HELD_BACK_EVERY])
            with run.section("evaluation"):
                figures |= summary(host, student, plan, held_back, run, monitor)
                times = cost.latencies(
                    {"before": host.network, "after": student.network},
                    torch.rand(1, *image_size, device=run.device),
                )
        run.record(**figures, **{f"latency_ms_{when}": ms for when, ms in times.items()})
        run.table("latency", {f"milliseconds_{when}": [ms] for when, ms in times.items()})
        run.picture("healed_on", in_unit(bank[:64]).clamp(0, 1))
        return run.result(student.network, figures)

    def check(
        self,
        teacher: nn.Module,
        *,
        image_size: tuple[int, int, int],
        backbone: str = "",
        real_images: Tensor | None = None,
    ) -> None:
        """Refuses what `fit` would refuse, before a run is begun; see there."""
        host = Host(teacher, backbone)
        self._require_images(host, image_size, real_images)
        self.prune(host, image_size)

    def prune(
        self, host: Host, image_size: tuple[int, int, int]
    ) -> tuple[Layout, nn.Module, PruningReport]:
        """What is watched of the host's backbone, a pruned copy of it, and what left."""
        example = _example(host, image_size)
        plan = layout(host.part, example, taps=tuple(filter(None, self.taps.split(","))))
        pruned, report = prune_backbone(
            host.part,
            example,
            plan,
            sparsity=self.sparsity,
            criterion=self.criterion,
            rule=self.rule,
            min_channels=self.min_channels,
        )
        return plan, pruned, report

    def synthesise(
        self, host: Host, bank: Tensor, *, run: Run, num_classes: int | None = None
    ) -> None:
        """Turns the noise in `bank` into images that the unpruned network takes for its data.

        Args:
            host: The unpruned network, frozen.
            bank: uint8 `(batches * synthesis_batch, channels, height, width)`; written in place.
            run: Randomness, precision, checkpoints.
            num_classes: As in `fit`.
        """
        pixels = PixelBatches(
            bank,
            *normalization(host.network),
            batch_size=self.synthesis_batch,
            steps=self.inversion_steps,
            learning_rate=self.lr_pixels,
            warm_up=self.warm_up,
            betas=(0.9, 0.99),
            jitter=self.jitter,
            flip=self.flip,
            half_steps=self.half_resolution_steps,
            run=run,
        )
        network = host.inner if num_classes is not None else host.part
        statistics = BatchNormStatistics(network) if self.bn_weight else None
        targets = torch.arange(self.synthesis_batch, device=run.device) % (num_classes or 1)
        with statistics or nullcontext():
            for step in run.steps(pixels.total_steps, name="inversion", state={"pixels": pixels}):
                # Two sections, because steps at half the resolution cost less.
                with run.section("half" if pixels.at_half(step) else "synthesis"):
                    x = pixels.look(step)
                    terms: dict[str, Tensor] = {}
                    with run.autocast():
                        outputs = network(x)
                    if num_classes is not None and self.task_weight:
                        terms["task"] = F.cross_entropy(outputs.float(), targets)  # L_task
                    if statistics is not None:
                        terms["bn"] = statistics.loss()  # R_bn
                    if self.tv_weight:
                        terms["tv"] = total_variation(x)  # R_tv
                    if self.l2_weight:
                        terms["l2"] = l2_prior(x)  # R_l2
                    loss = 0 * x.sum()
                    for name, term in terms.items():
                        loss = loss + getattr(self, f"{name}_weight") * term  # L(x)
                    pixels.step(step, loss)
                run.log(**{name: term.detach() for name, term in terms.items()})
            pixels.store()  # a budget may end in the middle of a batch

    def heal(self, host: Host, student: Host, plan: Layout, bank: Tensor, *, run: Run) -> None:
        """Trains the pruned backbone of `student` to give the maps of the unpruned one.

        Args:
            host: The unpruned network, frozen.
            student: The pruned one; its backbone is trained in place, its head is not.
            plan: What is compared, and what lies behind the last comparison.
            bank: Images, see `host.in_unit`; every sixteenth is left out.
            run: Randomness, precision, processes, checkpoints.
        """
        names = plan.taps if self.supervision == "intermediate" else plan.taps[-1:]
        weights = ramp_weights(len(names), self.ramp)
        backbone = student.part
        optimizer = torch.optim.SGD(
            backbone.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        count = len(bank) - len(bank) // _HELD_BACK_EVERY
        per_epoch = math.ceil(count / self.batch_size)
        order = torch.zeros(count, dtype=torch.int64, device=run.device)
        state = {"student": backbone, "optimizer": optimizer, "images": bank, "order": order}
        reference: Reference | None = None
        with Taps(backbone, names) as taps:
            for step in run.steps(self.epochs * per_epoch, name="healing", state=state):
                if reference is None:  # not before a checkpoint has given back the images
                    places = torch.arange(len(bank), device=run.device)
                    training = bank[places % _HELD_BACK_EVERY != _HELD_BACK_EVERY - 1]
                    reference = Reference(host, names, training, run)
                    student.train_part(plan.head, renew_statistics=self.renew_statistics)
                if step % per_epoch == 0:
                    order.copy_(torch.randperm(count, generator=run.rng, device=run.device))
                start = step % per_epoch * self.batch_size
                chosen = run.share(order[start : start + self.batch_size])
                x, theirs = reference.take(chosen)
                with run.autocast():
                    backbone(x)
                    loss = intermediate_loss(
                        taps.values(), theirs, weights, distance=self.distance
                    )  # sum_i w_i mean |g_i(x) - f_i(x)|
                decay = _DECAY if run.fraction >= self.decay_at else 1.0
                update(run, loss, optimizer, backbone, rate=self.learning_rate * decay)
                run.log(loss=loss.detach())
        optimizer.zero_grad(set_to_none=True)
        student.network.eval()

    def _require_images(
        self, host: Host, image_size: tuple[int, int, int], real_images: Tensor | None
    ) -> None:
        if self.images == "inverted" and self.bn_weight and self.epochs:
            BatchNormStatistics(host.part)  # refuses a backbone without BatchNorm
        if self.images != "real" or not self.epochs:
            return
        needed = self.batches * self.synthesis_batch
        if real_images is None:
            raise InputError('images="real" needs real_images, uint8 (count, c, h, w).')
        if tuple(real_images.shape[1:]) != tuple(image_size) or real_images.dtype != torch.uint8:
            raise InputError(
                f"real_images are {real_images.dtype} of size {tuple(real_images.shape[1:])}; "
                f"uint8 of size {tuple(image_size)} is needed."
            )
        if len(real_images) < needed:
            raise InputError(
                f"{len(real_images)} real images were given, and {self.batches} batches of "
                f"{self.synthesis_batch} need {needed}: lower batches or synthesis_batch."
            )

    def _first_images(
        self,
        host: Host,
        image_size: tuple[int, int, int],
        real_images: Tensor | None,
        run: Run,
    ) -> Tensor:
        """Standard normal noise in the network's units, or real images.

        What inversion begins with is cut to [0, 1] and rounded to bytes, as real images are.
        """
        count, rng = self.batches * self.synthesis_batch, run.stream("images")
        if self.images == "real" and self.epochs and real_images is not None:
            chosen = torch.randperm(len(real_images), generator=rng, device=run.device)[:count]
            return real_images.to(run.device)[chosen].contiguous(memory_format=torch.channels_last)
        noise = torch.randn(count, *image_size, generator=rng, device=run.device)
        mean, std = (v.view(1, -1, 1, 1).to(run.device) for v in normalization(host.network))
        noise = (noise * std + mean).contiguous(memory_format=torch.channels_last)
        return noise if self.images == "noise" else to_bytes(noise)


def _example(host: Host, image_size: tuple[int, int, int]) -> Tensor:
    """Two images as the backbone takes them; always the same."""
    images = torch.rand(2, *image_size, generator=torch.Generator().manual_seed(0))
    parameter = next(host.part.parameters(), images)
    return host.normalized(images.to(parameter.device))


def _costs(host: Host, student: Host, example: Tensor) -> dict[str, float]:
    """Parameters and multiply-accumulates of the whole networks, before and after."""
    figures: dict[str, float] = {}
    for when, network in (("before", host.inner), ("after", student.inner)):
        figures[f"parameters_{when}"] = float(cost.parameters(network))
        figures[f"macs_{when}"] = float(cost.multiply_accumulates(network, example))
    return figures
