"""`bequest compress`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import tyro
from tyro.conf import Positional

from bequest import catalog
from bequest.cli.command import NO_DEFAULT, Command, is_main_process
from bequest.cli.distill import located, parsed_image_size
from bequest.cli.execution import NewExecution, conclude, running
from bequest.cli.hyperparameters import given, with_options
from bequest.cli.normalization import at_terminal, choose
from bequest.errors import InputError

if TYPE_CHECKING:
    from bequest.cli.compress_job import CompressJob

_METHOD = "dfbf"
_HEAL: dict[str, dict[str, Any]] = {
    "data-free": {"images": "inverted"},
    "noise": {"images": "noise"},
    "real": {"images": "real"},
    "none": {"epochs": 0},
}
# What --prune and --heal say already.
_SAID = ("sparsity", "images")


@dataclass(frozen=True, kw_only=True)
class Compress(Command):
    r"""Prunes your network's backbone and heals it, without the data that it learnt from.

    Whole filters leave, inside blocks only, so that what follows the backbone fits as it is. Then
    the smaller backbone learns to give what the whole one gives, block by block, on images that
    are synthesised from your network. Every hyper-parameter of the method is an option, listed
    below. Needs bequest[compress].

      In:   a trained network with BatchNorm
      Out:  a folder with model.safetensors, architecture.json (which channels are left),
            metrics.jsonl, config.yaml and report.html

    The share that really leaves is told at the end: it is not the one of --prune, since stems,
    shortcuts and outputs of blocks stay. With --evaluate, top-1 on real test images is told for
    the network as it was, pruned, and healed. Ctrl-C writes a checkpoint and prints the command
    that goes on.

    A network is one of: a name of the zoo, such as resnet56; timm:NAME or torchvision:NAME (need
    bequest[vision]); module.path:callable of your code.

    Example:
      $ bequest compress --prune 0.5 --heal data-free resnet56 --weights network.safetensors \
          --image-size 3x32x32 --num-classes 10 --normalize cifar10
    """

    network: Positional[str]
    """The trained network; it stays as it is."""
    image_size: str
    """Channels, height and width of the images, such as 3x32x32."""
    num_classes: int
    """Classes of the network."""
    prune: float = 0.5
    """Nominal share of the filters that leave, below 1."""
    heal: Literal["data-free", "noise", "real", "none"] = "data-free"
    """On synthesised images, on noise, on real images of --data, or not at all."""
    weights: Annotated[Path | None, NO_DEFAULT] = None
    """A safetensors file or a state dict of torch.save; nothing in it is executed."""
    pretrained: Annotated[bool, NO_DEFAULT] = False
    """Take the public weights: timm, torchvision, or our resnet20 and resnet56."""
    normalize: Annotated[str | None, NO_DEFAULT] = None
    """How the training images were normalised: none, half, imagenet, cifar10, cifar100, mnist, or
    own (as its configuration says). Asked for when neither this nor --mean is given."""
    mean: Annotated[tuple[float, ...], NO_DEFAULT] = ()
    """Instead of --normalize: subtracted from images in [0, 1]; one value, or one a channel."""
    std: Annotated[tuple[float, ...], NO_DEFAULT] = ()
    """With --mean: what images are then divided by."""
    backbone: Annotated[str, NO_DEFAULT] = ""
    """Name of the module to prune, such as features; without it the whole network, up to its last
    block."""
    data: Annotated[str | None, NO_DEFAULT] = None
    """With --heal real: a name of `bequest data list` or folder:PATH."""
    evaluate: Annotated[str | None, NO_DEFAULT] = None
    """Data with test images, a name of `bequest data list` or folder:PATH."""
    budget_steps: Annotated[int | None, NO_DEFAULT] = None
    """Stop synthesis and healing after so many steps each; learning rates follow."""
    budget_seconds: Annotated[float | None, NO_DEFAULT] = None
    """Stop after so many seconds; learning rates follow."""
    budget_flops: Annotated[float | None, NO_DEFAULT] = None
    """Stop after so many floating-point operations; learning rates follow."""

    execution: Annotated[NewExecution, tyro.conf.OmitArgPrefixes] = field(
        default_factory=NewExecution
    )

    @classmethod
    def for_words(cls, words: Sequence[str]) -> type[Self]:
        """With the hyper-parameters of the method."""
        del words
        return with_options(cls, catalog.find(_METHOD), unset="the method's own, as shown")

    def job(self) -> CompressJob:
        """What is to be done; asks for the normalisation where it is not given."""
        fields = self._fields()
        size = parsed_image_size(self.image_size)
        constants = choose(
            self.normalize,
            self.mean,
            self.std,
            channels=size[0],
            may_ask=at_terminal() and is_main_process(),
        )
        from bequest.cli.compress_job import CompressJob
        from bequest.run import Budget

        return CompressJob(
            student=located(self.network),
            image_size=size,
            num_classes=self.num_classes,
            mean=constants[0] if constants else None,
            std=constants[1] if constants else None,
            weights=str(self.weights.resolve()) if self.weights else None,
            pretrained=self.pretrained,
            backbone=self.backbone,
            data=self.data,
            fields=fields,
            evaluate=self.evaluate,
            seed=self.execution.seed,
            device=self.execution.device,
            precision=self.execution.precision,
            threads=self.execution.threads,
            budget=Budget(
                steps=self.budget_steps, seconds=self.budget_seconds, flops=self.budget_flops
            ),
        )

    def execute(self) -> int:
        """Compresses and says what came out."""
        job = self.job()
        from bequest.cli.compress_job import carry_out, prepare

        prepared = prepare(job)
        job = replace(prepared.job, threads=self.execution.chosen_threads())
        folder = self.execution.new_folder("compress", Path(self.network).stem, f"s{job.seed}")
        with running(folder, json=self.execution.json):
            carry_out(
                replace(prepared, job=job),
                folder,
                trackers=self.execution.trackers,
                checkpoint_seconds=self.execution.checkpoint_seconds,
            )
        conclude(folder, as_json=self.execution.json)
        return 0

    def _fields(self) -> dict[str, Any]:
        """Hyper-parameters of the method, with what --prune and --heal stand for."""
        fields = given(getattr(self, "hyperparameters", None))
        twice = [name for name in _SAID if name in fields]
        if twice or (self.heal == "none" and "epochs" in fields):
            raise InputError(
                "--prune stands for --sparsity, --heal for --images, and --heal none for "
                "--epochs 0: give --prune and --heal alone."
            )
        if not 0 < self.prune < 1:
            raise InputError(f"--prune is {self.prune:g}; it must lie between 0 and 1.")
        if (self.heal == "real") != (self.data is not None):
            raise InputError("--heal real and --data NAME go together: real images to heal on.")
        return {**fields, "sparsity": self.prune, **_HEAL[self.heal]}
