"""Assignment: gap and time against scipy and lapx by size; batched Sinkhorn against pygmtools.

    python benchmarks/assignment.py --json assignment.json

Exact: B matrices of independent uniform costs, by scipy one after the other, by lapx one after the
other and in its own threads, beside greedy assignment in rounds (with its gap) and a learned solver
(`--solver` names the folder of a run of `glan-lap`; without it the weights are random: its time is
that of a trained one, its gap means nothing and is left out).

Sinkhorn: five rounds of rows and columns, which pygmtools counts as ten. Rows: pygmtools as it is
by default (a loop over matrices, in log space), with its batched option, plain batched log-Sinkhorn
as anybody would write it, ours, and ours in log space. All but the last digits of the answers must
agree, or the row is void. Needs lapx and pygmtools; what is missing is left out.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from measure import arguments, default_device, environment, interleaved, rows_of, show, write
from rich.console import Console
from torch import Tensor

from bequest.methods.matching.glan_lap import GLANLAP
from bequest.metrics.assignment import cost_figures
from bequest.nn.assignment_solvers import CostedSolver
from bequest.nn.weights import load_weights
from bequest.ops.assignment import (
    PairBatch,
    complete_assignment,
    exact_assignment,
    greedy_assignment,
    pad_problems,
)
from bequest.ops.sinkhorn import scale_log_kernel, sinkhorn

SCIPY, LAPX, GREEDY, LEARNED = "scipy", "lapx", "greedy in rounds", "learned solver"
PYGMTOOLS, BATCHED = "pygmtools", "pygmtools, batched"
PLAIN, OURS, LOG = "plain batched log-Sinkhorn", "bequest", "bequest, in log space"
ROUNDS, TEMPERATURE = 5, 0.1


def optional(name: str) -> Any:
    """The module, or None."""
    try:
        return importlib.import_module(name)
    except Exception:
        return None


def square_costs(count: int, n: int) -> PairBatch:
    rng = torch.Generator().manual_seed(n)
    return pad_problems(list(torch.rand(count, n, n, generator=rng)))


def by_size(
    sizes: list[tuple[int, int]], *, solver: CostedSolver | None, repeats: int, threads: int
) -> list[dict[str, Any]]:
    """Milliseconds and gaps, for each `(matrices, rows)`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = (solver or CostedSolver(None, GLANLAP().solver())).eval()
    tables = []
    for count, n in sizes:
        problems = square_costs(count, n)

        def greedy(problems: PairBatch = problems) -> Tensor:
            return greedy_assignment(-problems.costs, problems.mask)

        def learned(problems: PairBatch = problems) -> Tensor:
            return model.assign(problems)

        calls: dict[str, Callable[[], Tensor]] = {
            SCIPY: lambda problems=problems: exact_assignment(problems),
            GREEDY: greedy,
            LEARNED: learned,
        }
        if optional("lap") is not None:
            for number in sorted({1, threads}):
                calls[f"{LAPX}, {number} threads"] = lambda problems=problems, number=number: (
                    exact_assignment(problems, solver="lapx", threads=number)
                )
        rows = rows_of(interleaved(calls, repeats=repeats), SCIPY)
        optimum = exact_assignment(problems)
        for row in rows:
            found = calls[row["name"]]()
            full = complete_assignment(found, problems)
            figures = cost_figures(full, problems.costs, optimum, problems)
            judged = row["name"] != LEARNED or solver is not None
            row["gap"] = figures["gap"] if judged else None
            row["feasible"] = 100 * (found >= 0).float().mean().item()
        tables.append({"matrices": count, "n": n, "rows": rows})
    return tables


def plain_log_sinkhorn(scores: Tensor) -> Tensor:
    log = scores / TEMPERATURE
    for _ in range(ROUNDS):
        log = log - torch.logsumexp(log, 2, keepdim=True)
        log = log - torch.logsumexp(log, 1, keepdim=True)
    return log.exp()


def sinkhorns(sizes: list[tuple[int, int]], *, repeats: int, inner: int) -> list[dict[str, Any]]:
    """Milliseconds of a batch, for each `(matrices, rows)`."""
    peer = optional("pygmtools")
    if peer is not None:
        peer.set_backend("pytorch")
    tables = []
    for count, n in sizes:
        scores = square_costs(count, n).values
        size = torch.full((count,), n)
        calls: dict[str, Callable[[], Tensor]] = {
            PLAIN: lambda scores=scores: plain_log_sinkhorn(scores),
            OURS: lambda scores=scores, size=size: sinkhorn(
                scores, size, size, temperature=TEMPERATURE, iterations=ROUNDS
            ),
            LOG: lambda scores=scores, size=size: scale_log_kernel(
                scores / TEMPERATURE, size, size, iterations=ROUNDS
            ),
        }
        if peer is not None:
            for name, batched in ((PYGMTOOLS, False), (BATCHED, True)):
                calls[name] = lambda scores=scores, batched=batched: peer.sinkhorn(
                    scores, max_iter=2 * ROUNDS, tau=TEMPERATURE, batched_operation=batched
                )
        reference = PYGMTOOLS if peer is not None else PLAIN
        rows = rows_of(interleaved(calls, repeats=repeats, inner=inner), reference)
        answer = calls[reference]()
        for row in rows:
            row["difference"] = (calls[row["name"]]() - answer).abs().max().item()
            row["void"] = row["difference"] > 1e-4
        tables.append({"matrices": count, "n": n, "rows": rows})
    return tables


def versions() -> dict[str, str]:
    found = {}
    for name in ("scipy", "lapx", "pygmtools"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def trained(folder: Path) -> CostedSolver:
    """The solver of a run of `glan-lap` with the published network."""
    model = CostedSolver(None, GLANLAP().solver())
    load_weights(model, folder / "model.safetensors")
    return model


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--solver", type=Path, metavar="RUN")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of lapx")
    parser.add_argument("--largest", type=int, default=500, help="leave out larger matrices")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=140)
    solver = trained(options.solver) if options.solver else None
    exact = [(c, n) for c, n in [(256, 10), (64, 50), (16, 200), (1, 500)] if n <= options.largest]
    report: dict[str, Any] = {
        "environment": environment(default_device()) | {"versions": versions()},
        "trained": solver is not None,
        "threads": options.threads,
        "exact": by_size(exact, solver=solver, repeats=options.repeats, threads=options.threads),
        "sinkhorn": sinkhorns(
            [(256, 10), (64, 50), (16, 200)], repeats=2 * options.repeats + 1, inner=3
        ),
    }
    for table in report["exact"]:
        title = f"{table['matrices']} matrices of {table['n']} rows"
        show(console, title, table["rows"], more={"gap": "gap %", "feasible": "matched %"})
    for table in report["sinkhorn"]:
        title = f"Sinkhorn, {ROUNDS} rounds, {table['matrices']} x {table['n']} x {table['n']}"
        show(console, title, table["rows"], more={"difference": "difference"})
    write(options.json, report)


if __name__ == "__main__":
    main()
