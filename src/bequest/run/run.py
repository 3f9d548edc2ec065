"""The Run: seed, device, precision, processes, progress, metrics, checkpoints, resume, budget.

A method uses it like this, and needs nothing else:

    for step in run.steps(total, state={"student": student, "optimizer": optimizer}):
        with run.autocast():
            loss = ...
        loss.backward()
        run.reduce(student)
        optimizer.step()
        run.log(loss=loss)
"""

from __future__ import annotations

import fcntl
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import save_model
from torch import Tensor, nn

from bequest.errors import InputError, NotFiniteError, StoppedError
from bequest.run.budget import Budget
from bequest.run.checkpoint import load_state, load_states, save_state, states_of
from bequest.run.environment import environment, peak_memory, resolve_precision
from bequest.run.meter import Meter
from bequest.run.metrics import Metrics
from bequest.run.pictures import save_grid
from bequest.run.plain import flat, plain
from bequest.run.progress import Bar
from bequest.run.result import Result
from bequest.run.signals import StopRequest
from bequest.run.streams import Streams


class Run:
    """How a method is executed. A context manager: global random state is restored on exit.

    Args:
        folder: Where everything is written; None writes nothing. A folder that holds a run is
            refused unless `resume` is set, and so is one that another process is using.
        seed: Decides every random draw.
        device: `auto`, `cpu`, `cuda`, ...
        precision: `auto` (bf16 autocast where the hardware is good at it), `fp32` or `bf16`.
        budget: Where to stop early; `fraction` follows it, and with it learning rates.
        trackers: Names that Accelerate knows: `tensorboard`, `wandb`, `mlflow`, ...
        checkpoint_seconds: Wall-clock seconds between checkpoints; 0 writes one after each step.
        progress: Show progress bars.
        config: What makes this run repeatable; written to `config.yaml`.
        resume: Go on from the checkpoint in `folder`.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        budget: Budget | None = None,
        trackers: Iterable[str] = (),
        checkpoint_seconds: float = 60.0,
        progress: bool = False,
        config: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self.folder = Path(folder) if folder is not None else None
        self.seed = seed
        self.budget = budget or Budget()
        self.config = dict(config or {})
        self.checkpoint_seconds = checkpoint_seconds
        self.show_progress = progress
        self.step = 0
        self.fraction = 0.0
        self._last_fraction = -1.0
        trackers = list(trackers)
        if trackers and self.folder is None:
            raise InputError("trackers need a folder to write to.")
        self.accelerator = Accelerator(
            cpu=device == "cpu",
            log_with=trackers or None,
            project_dir=str(self.folder) if self.folder else None,
        )
        self._trackers = trackers
        self.device = self.accelerator.device if device == "auto" else torch.device(device)
        self.precision = resolve_precision(precision, self.device)
        self.meter = Meter(self.device)
        self.metrics = Metrics(None)
        self._streams = Streams(seed, self.device)
        self.rng = self.stream("main")
        self._resume = resume
        self._loaded: dict[str, Any] | None = None
        self._done: list[str] = []
        self._ended = False
        self._stop_request = StopRequest()
        self._stack = ExitStack()
        self._lock: IO[str] | None = None

    # -- life ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        devices = [self.device.index or 0] if self.device.type == "cuda" else []
        self._stack.enter_context(torch.random.fork_rng(devices=devices))
        torch.manual_seed(self.seed)
        try:
            if self.folder is not None:
                self._open_folder(self.folder)
            if self._trackers:
                self.accelerator.init_trackers("bequest", config=flat(self.config))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._trackers:
            self.accelerator.end_training()
        self._stack.close()

    def _open_folder(self, folder: Path) -> None:
        if not self.is_main:
            self.accelerator.wait_for_everyone()
            self._load_checkpoint()
            return
        folder.mkdir(parents=True, exist_ok=True)
        lock = self._stack.enter_context((folder / ".lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder} is in use by another process.") from error
        if (folder / "config.yaml").exists() and not self._resume:
            raise InputError(
                f"{folder} holds a run already. Choose another folder, or go on with it: "
                f"bequest resume {folder}"
            )
        self.metrics.path = folder / "metrics.jsonl"
        if not (folder / "config.yaml").exists():
            text = yaml.safe_dump(plain(self.config), sort_keys=False)
            (folder / "config.yaml").write_text(text, encoding="utf-8")
        record = json.dumps(environment(self.device, self.precision), indent=2)
        (folder / "environment.json").write_text(record, encoding="utf-8")
        self.accelerator.wait_for_everyone()
        self._load_checkpoint()
        self.metrics.truncate(self._loaded["rows"] if self._loaded else 0)

    # -- processes, device, precision, randomness -------------------------------------------------

    @property
    def is_main(self) -> bool:
        """True in the one process that writes."""
        return bool(self.accelerator.is_main_process)

    def place(self, module: nn.Module) -> nn.Module:
        """Moves a network to the device, in the memory format that is fastest there."""
        return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self) -> AbstractContextManager[Any]:
        """The context for forward passes: bf16 autocast, or nothing in fp32."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def stream(self, name: str) -> torch.Generator:
        """A random generator of its own for `name`, decided by the seed and the name.

        Arms that draw from streams of the same name see the same numbers, whatever else they draw.
        """
        return self._streams[name]

    def share(self, batch: Tensor) -> Tensor:
        """This process's equal share of a batch that all processes drew alike.

        Raises:
            InputError: When the batch cannot be divided evenly.
        """
        world = self.accelerator.num_processes
        if world == 1:
            return batch
        if len(batch) % world:
            raise InputError(f"A batch of {len(batch)} cannot be shared by {world} processes.")
        return batch.chunk(world)[self.accelerator.process_index]

    def gather(self, share: Tensor) -> Tensor:
        """The whole batch in order, from the shares of all processes; the inverse of `share`."""
        if self.accelerator.num_processes == 1:
            return share
        return self.accelerator.gather(share.contiguous())

    def reduce(self, module: nn.Module) -> None:
        """Averages gradients and running statistics over processes; nothing to do for one.

        With a loss that is a mean over the process's share this gives the gradient of the mean
        over the global batch.
        """
        if self.accelerator.num_processes == 1:
            return
        tensors = [p.grad for p in module.parameters() if p.grad is not None]
        tensors += [b for b in module.buffers() if b.is_floating_point()]
        if not tensors:
            return
        flat = torch.cat([t.reshape(-1).float() for t in tensors])
        flat = self.accelerator.reduce(flat, reduction="mean")
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors])):
            tensor.copy_(part.view_as(tensor))

    # -- the loop --------------------------------------------------------------------------------

    def steps(
        self, total: int, *, state: Mapping[str, Any], name: str = "training", log_every: int = 0
    ) -> Iterator[int]:
        """Yields 0 .. total-1, with everything around a step taken care of.

        Args:
            total: Number of steps.
            state: What a checkpoint must hold: objects with `state_dict` and `load_state_dict`,
                or tensors (restored in place).
            name: The phase; a method with several loops names each.
            log_every: Steps a row of the metrics table; 0 chooses up to 50.

        Raises:
            NotFiniteError: When a logged quantity is NaN or infinite.
            StoppedError: After Ctrl-C, when the checkpoint is written.
        """
        if total < 0:
            raise InputError(f"total is {total}; it must be 0 or more.")
        if name in self._done and not self._is_loaded(name):
            return
        start = self._restore(name, state)
        self._ended = name in self._done  # the checkpoint is of its end, early or not
        limit = self.budget.limit(total)
        # Capped: with a budget of time or FLOPs the run may end long before its last step.
        log_every = log_every or min(max(1, limit // 400), 50)
        bar = Bar(name, limit, start, enabled=self.show_progress and self.is_main)
        saved = time.monotonic()
        outer = self.meter._switch(name)
        step = start
        try:
            with self._stop_request.listen() if self.folder else nullcontext():
                while step < limit and not self._ended and not self.budget.exhausted(self.meter):
                    self.step = step
                    self._last_fraction = self.fraction if step else -1.0
                    self.fraction = self.budget.fraction(step, limit, self.meter)
                    # The usual way, kept free of any overhead.
                    if self.meter.knows(name) and not self.meter.counting:
                        yield step
                        self.meter.add_pass(name)
                    else:
                        with self.meter.counted(name):
                            yield step
                    step += 1
                    if self._ended:
                        continue  # out of the loop: its end writes the checkpoint
                    if step % log_every == 0:
                        self._flush(name, step)
                    if bar.enabled:
                        bar.update(max(step, int(self.fraction * limit)), self.metrics.latest)
                    if self._stop_request.asked:
                        self._stop(name, step, state)
                    if time.monotonic() - saved >= self.checkpoint_seconds:
                        self._save(name, step, state)
                        saved = time.monotonic()
            self.step = step
            self.fraction = 1.0
            self._ended = False
            if name not in self._done:
                self._done.append(name)
                self._save(name, step, state)
        finally:
            self.meter._switch(outer)
            bar.close(step)

    def end_phase(self) -> None:
        """Makes the step at hand the last one of its loop: early stopping, convergence.

        Unlike `break`, the loop ends in order: figures are written, and a run that is resumed
        later does not begin the phase again.
        """
        self._ended = True

    def due(self, times: int) -> bool:
        """True at the first step, and whenever another `1 / times` of the run has passed."""
        return int(self.fraction * times) != math.floor(self._last_fraction * times)

    def section(self, name: str) -> AbstractContextManager[None]:
        """Time and FLOPs inside count for `name` instead of the phase around it."""
        return self.meter.section(name)

    # -- figures ---------------------------------------------------------------------------------

    def log(self, **values: Tensor | float) -> None:
        """Scalars of this step, by name; averaged into the metrics table, watched for NaN."""
        self.metrics.add(values)

    def record(self, **values: float) -> None:
        """Figures that are a row of their own: an evaluation, a diagnostic."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise NotFiniteError(f"'{name}' is {value} at step {self.step}")
        row = {name: float(value) for name, value in values.items()}
        self.metrics.write({"phase": "record", "step": self.step, **row})
        self._track(row)

    def picture(self, name: str, images: Tensor) -> None:
        """Keeps a grid of images `(batch, channels, height, width)` in [0, 1] for the report."""
        if self.folder is not None and self.is_main:
            save_grid(images, self.folder / "pictures" / f"{name}.png")

    def table(self, name: str, columns: Mapping[str, list[float]]) -> None:
        """Keeps a small table of numbers, for example a histogram, for the report."""
        if self.folder is not None and self.is_main:
            (self.folder / "tables").mkdir(exist_ok=True)
            text = json.dumps({key: list(map(float, column)) for key, column in columns.items()})
            (self.folder / "tables" / f"{name}.json").write_text(text, encoding="utf-8")

    def save_model(self, module: nn.Module) -> None:
        """Writes the weights to `model.safetensors`."""
        if self.folder is not None and self.is_main:
            temporary = self.folder / ".model.safetensors"
            save_model(module, str(temporary))
            temporary.replace(self.folder / "model.safetensors")

    def result(self, model: nn.Module, metrics: Mapping[str, float]) -> Result:
        """The outcome: the weights are written, time and FLOPs by section are added."""
        self.save_model(model)
        return Result(
            model=model,
            metrics=dict(metrics),
            seconds=dict(self.meter.seconds),
            cpu_seconds=dict(self.meter.cpu_seconds),
            flops=dict(self.meter.flops),
            peak_memory_bytes=peak_memory(self.device),
            folder=self.folder,
        )

    def _flush(self, name: str, step: int) -> None:
        try:
            means = self.metrics.flush(name, step)
        except NotFiniteError as error:
            path = self.folder / "checkpoint.safetensors" if self.folder else None
            kept = f"; the last good checkpoint is {path}" if path and path.exists() else ""
            raise NotFiniteError(f"{error}{kept}. A smaller learning rate may help.") from error
        self._track(means, step)

    def _track(self, row: dict[str, float], step: int | None = None) -> None:
        if self._trackers and row:
            self.accelerator.log(row, step=self.step if step is None else step)

    # -- checkpoints -----------------------------------------------------------------------------

    def _save(self, name: str, step: int, state: Mapping[str, Any]) -> None:
        """Writes the checkpoint: never with a quantity that is not finite."""
        self._flush(name, step)
        if self.folder is None or not self.is_main:
            return
        content = {
            "phase": name,
            "step": step,
            "fraction": self.fraction,
            "done": list(self._done),
            "rows": len(self.metrics.rows),
            "meter": self.meter.state_dict(),
            "random": self._streams.state_dict(),
            "state": states_of(state),
        }
        save_state(content, self.folder / "checkpoint.safetensors")

    def _load_checkpoint(self) -> None:
        path = self.folder / "checkpoint.safetensors" if self.folder else None
        if self._resume and path is not None and path.exists():
            self._loaded = load_state(path)
            self._done = list(self._loaded["done"])

    def _is_loaded(self, name: str) -> bool:
        return self._loaded is not None and self._loaded["phase"] == name

    def _restore(self, name: str, state: Mapping[str, Any]) -> int:
        if self._loaded is None or not self._is_loaded(name):
            return 0
        loaded, self._loaded = self._loaded, None
        load_states(state, loaded["state"])
        self.fraction = loaded["fraction"]
        self.meter.load_state_dict(loaded["meter"])
        self._streams.load_state_dict(loaded["random"])
        return int(loaded["step"])

    def _stop(self, name: str, step: int, state: Mapping[str, Any]) -> None:
        self._save(name, step, state)
        where = f" Go on with: bequest resume {self.folder}" if self.folder else ""
        raise StoppedError(f"Stopped after step {step} of {name}.{where}")
