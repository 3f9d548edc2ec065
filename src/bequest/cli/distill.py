"""`bequest distill`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import tyro

from bequest import catalog
from bequest.cli.command import NO_DEFAULT, Command, is_main_process
from bequest.cli.execution import NewExecution, conclude, running
from bequest.cli.hyperparameters import given, with_options
from bequest.cli.normalization import at_terminal, choose
from bequest.data.catalog import DATA
from bequest.errors import InputError

if TYPE_CHECKING:
    from bequest.cli.distill_job import DistillJob

_WITHOUT_DATA, _WITH_DATA = "ssd-kd", "kd"


@dataclass(frozen=True, kw_only=True)
class Distill(Command):
    r"""Makes a smaller network that answers as yours does, without data or with it.

    Without --data, images are made from your network. With it, the student learns from labelled
    images and from what --objective compares: kd, dkd, dist, crd and others. Every hyper-parameter
    of the method is an option, listed below for --method or --data.

      In:   a trained network (teacher) and the name of another (student); with --data labelled
            images; for kd3 a pool of unlabelled ones
      Out:  a folder with model.safetensors, metrics.jsonl, config.yaml and report.html

    Without --evaluate, progress is agreement with the teacher on synthetic images that were held
    back; with it or --data, top-1 on real test images, for reporting only. The last student is
    kept, never the best on test images. Ctrl-C writes a checkpoint and prints the command that
    goes on.

    A network is one of: a name of the zoo, such as resnet20, wrn_16_2, vgg11_bn, mobilenet_v2;
    timm:NAME or torchvision:NAME (need bequest[vision]); module.path:callable of your code; a .pt2
    file of torch.export.

    Example:
      $ bequest distill --teacher resnet56 --teacher-weights teacher.safetensors \
          --student resnet20 --image-size 3x32x32 --num-classes 10 --normalize cifar10

    With data, whose images say size and classes:
      $ bequest distill --data cifar10 --objective dkd --teacher resnet56 --pretrained \
          --normalize own --student resnet20

    Without data, with public weights, measured on real images:
      $ bequest distill --teacher resnet56 --pretrained --normalize own --student resnet20 \
          --image-size 3x32x32 --num-classes 10 --evaluate cifar10

    With images that were collected elsewhere:
      $ bequest distill --method kd3 --pool pictures --teacher resnet56 --pretrained \
          --normalize own --student resnet20 --image-size 3x32x32 --num-classes 10
    """

    teacher: str
    """The trained network; it stays as it is."""
    student: str
    """The network to be trained."""
    image_size: Annotated[str | None, NO_DEFAULT] = None
    """Channels, height and width of the images, such as 3x32x32; not needed with --data."""
    num_classes: Annotated[int | None, NO_DEFAULT] = None
    """Classes of both networks; not needed with --data."""
    data: Annotated[str | None, NO_DEFAULT] = None
    """Labelled images to learn from: a name of `bequest data list` or folder:PATH. Without it, the
    student learns without data."""
    more_teachers: Annotated[tuple[str, ...], NO_DEFAULT] = ()
    """With --data: further teachers, each NETWORK=WEIGHTS, or NETWORK with --pretrained."""
    teacher_weights: Annotated[Path | None, NO_DEFAULT] = None
    """A safetensors file or a state dict of torch.save; nothing in it is executed."""
    student_weights: Annotated[Path | None, NO_DEFAULT] = None
    """Weights that the student begins with; without them they are drawn from the seed."""
    pretrained: Annotated[bool, NO_DEFAULT] = False
    """Take the teacher's public weights: timm, torchvision, or our resnet20 and resnet56."""
    normalize: Annotated[str | None, NO_DEFAULT] = None
    """How the teacher's training images were normalised: none, half, imagenet, cifar10, cifar100,
    mnist, or own (as its configuration says). Asked for when neither this nor --mean is given."""
    mean: Annotated[tuple[float, ...], NO_DEFAULT] = ()
    """Instead of --normalize: subtracted from images in [0, 1]; one value, or one a channel."""
    std: Annotated[tuple[float, ...], NO_DEFAULT] = ()
    """With --mean: what images are then divided by."""
    method: Annotated[str | None, NO_DEFAULT] = None
    """A method of `bequest list` that needs a teacher and no data (ssd-kd unless you say), a pool,
    or --data (kd unless you say)."""
    evaluate: Annotated[str | None, NO_DEFAULT] = None
    """Data with test images, a name of `bequest data list` or folder:PATH; else those of --data."""
    pool: Annotated[str | None, NO_DEFAULT] = None
    """Unlabelled images for methods that learn from such, as kd3 does: a folder, a .tar archive, or
    a name of `bequest data list`, of which the training images serve."""
    budget_steps: Annotated[int | None, NO_DEFAULT] = None
    """Stop after so many steps; learning rates follow."""
    budget_seconds: Annotated[float | None, NO_DEFAULT] = None
    """Stop after so many seconds; learning rates follow."""
    budget_flops: Annotated[float | None, NO_DEFAULT] = None
    """Stop after so many floating-point operations; learning rates follow."""

    execution: Annotated[NewExecution, tyro.conf.OmitArgPrefixes] = field(
        default_factory=NewExecution
    )

    @classmethod
    def for_words(cls, words: Sequence[str]) -> type[Self]:
        """With the hyper-parameters of the method that the words name."""
        options = {word.partition("=")[0] for word in words}
        name = _WITH_DATA if options & {"--data", "--objective"} else _WITHOUT_DATA
        for word, following in zip(words, [*words[1:], ""]):
            if word == "--method":
                name = following
            elif word.startswith("--method="):
                name = word.removeprefix("--method=")
        return with_options(cls, catalog.find(name), unset="the method's own, as shown")

    @property
    def chosen(self) -> str:
        """The id of the method."""
        return self.method or (_WITHOUT_DATA if self.data is None else _WITH_DATA)

    def job(self) -> DistillJob:
        """What is to be done; asks for the normalisation where it is not given."""
        fields = given(getattr(self, "hyperparameters", None))
        if self.data is None and "objective" in fields:
            raise InputError(
                "--objective compares networks on real images: name them with --data DATASET, or "
                "leave --objective out to distil without data."
            )
        if self.data is None and self.more_teachers:
            raise InputError("--more-teachers goes with --data: without data there is one teacher.")
        size = self._size()
        constants = choose(
            self.normalize,
            self.mean,
            self.std,
            channels=size[0],
            may_ask=at_terminal() and is_main_process(),
        )
        from bequest.cli.distill_job import DistillJob
        from bequest.run import Budget

        return DistillJob(
            teacher=located(self.teacher),
            student=located(self.student),
            image_size=size if self.data is None or self.image_size else None,
            num_classes=self.num_classes,
            data=self.data,
            more_teachers=tuple(map(_teacher, self.more_teachers)),
            mean=constants[0] if constants else None,
            std=constants[1] if constants else None,
            teacher_weights=str(self.teacher_weights.resolve()) if self.teacher_weights else None,
            student_weights=str(self.student_weights.resolve()) if self.student_weights else None,
            pretrained=self.pretrained,
            method=self.chosen,
            fields=fields,
            evaluate=self.evaluate,
            pool=_pool(self.pool),
            seed=self.execution.seed,
            device=self.execution.device,
            precision=self.execution.precision,
            threads=self.execution.threads,
            budget=Budget(
                steps=self.budget_steps, seconds=self.budget_seconds, flops=self.budget_flops
            ),
        )

    def execute(self) -> int:
        """Distils and says what came out."""
        job = self.job()
        from bequest.cli.distill_job import carry_out, prepare

        prepared = prepare(job)
        job = replace(prepared.job, threads=self.execution.chosen_threads())
        folder = self.execution.new_folder(
            "distill",
            job.fields.get("objective", job.method),
            Path(self.student).stem,
            f"s{job.seed}",
        )
        with running(folder, json=self.execution.json):
            carry_out(
                replace(prepared, job=job),
                folder,
                trackers=self.execution.trackers,
                checkpoint_seconds=self.execution.checkpoint_seconds,
            )
        conclude(folder, as_json=self.execution.json)
        return 0

    def _size(self) -> tuple[int, int, int]:
        """What was given, else that of the data."""
        if self.image_size is not None:
            return parsed_image_size(self.image_size)
        if self.data is None:
            raise InputError(
                "How large are the images? Give --image-size, such as 3x32x32, and --num-classes; "
                "or labelled images with --data DATASET."
            )
        if self.data in DATA:
            return DATA[self.data].image_size
        from bequest.data import load

        return load(self.data).image_size


def parsed_image_size(text: str) -> tuple[int, int, int]:
    """Channels, height and width of a text such as 3x32x32."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise InputError(
            f"--image-size is '{text}'; it must be channels, height and width, such as 3x32x32."
        )
    channels, height, width = map(int, parts)
    return channels, height, width


def _teacher(spec: str) -> str:
    """NETWORK=WEIGHTS with the file found again from any folder."""
    name, given, weights = spec.partition("=")
    return f"{located(name)}={Path(weights).resolve()}" if given and weights else located(name)


def _pool(spec: str | None) -> str | None:
    """A folder or archive is found again from any folder; names stay as they are."""
    path = Path((spec or "").removeprefix("folder:")).expanduser()
    return str(path.resolve()) if spec and spec not in DATA and path.exists() else spec


def located(spec: str) -> str:
    """A file is found again from any folder; names stay as they are."""
    return str(Path(spec).resolve()) if spec.endswith(".pt2") else spec
