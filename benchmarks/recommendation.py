"""Training and full ranking of ComiRec, beside a straightforward PyTorch version.

    python benchmarks/recommendation.py --json recommendation.json

Users and items as many as in Amazon Beauty and in MovieLens-100K, events drawn by Zipf's law. The
straightforward version is what the paper's code is in PyTorch: a Dataset that cuts and pads lists,
a DataLoader, a look-up for each use of the table, `torch.multinomial` for the negatives, Adam; its
ranking merges the interests' lists, and counts hits, user by user. A third row trains with the
softmax over all items, as other ports do. Ours is the method as it runs: with `Run`, its metrics,
its FLOP count. Both trainings see as many examples; their networks are compared by the softmax over
all items on the same held-back examples. Both rankings must give the same figures.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from measure import (
    arguments,
    default_device,
    environment,
    interleaved,
    rows_of,
    show,
    write,
)
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler

from bequest.methods.recommendation.comirec import ComiRec, closest
from bequest.metrics.ranking import ranking_figures
from bequest.nn.interests import SelfAttentiveInterests
from bequest.nn.recommenders import InterestNetwork
from bequest.ops.candidate_sampling import by_frequency
from bequest.ops.sequences import Sequences, history_and_future
from bequest.run import Run

SAMPLED = "straightforward, sampled softmax"
FULL = "straightforward, full softmax"
OURS = "Bequest"
LOOP = "user by user"
SHAPES = {"beauty": (22_363, 12_101, 8.9), "ml-100k": (943, 1349, 105.0)}


def events(users: int, items: int, mean: float) -> list[list[int]]:
    """Sequences of at least five events, of about that mean length."""
    draw = torch.Generator().manual_seed(0)
    extra = torch.empty(users).exponential_(1 / (mean - 5), generator=draw).long()
    popularity = 1 / torch.arange(1.0, items + 1)
    return [
        (torch.multinomial(popularity, 5 + more, generator=draw) + 1).tolist()
        for more in extra.clamp(max=items // 2).tolist()
    ]


class Users(Dataset[tuple[Tensor, Tensor]]):
    """A history and a target out of a user's list, as the paper's data iterator cuts them."""

    def __init__(self, lists: list[list[int]], length: int) -> None:
        self.lists, self.length = lists, length
        self.random = random.Random(0)

    def __len__(self) -> int:
        return len(self.lists)

    def __getitem__(self, user: int) -> tuple[Tensor, Tensor]:
        items = self.lists[user]
        place = self.random.randrange(4, len(items))
        history = items[max(0, place - self.length) : place]
        history = history + [0] * (self.length - len(history))
        return torch.tensor(history), torch.tensor(items[place])


class PaddedAttention(SelfAttentiveInterests):
    """Self-attention with padding computed like events and masked afterwards."""

    def forward(self, events: Tensor, there: Tensor) -> Tensor:
        """Vectors `(batch, interests, dim)`."""
        assert self.positions is not None
        logits = self.weights(self.hidden(events + self.positions).tanh())
        logits = logits.masked_fill(~there[:, :, None], -float("inf"))
        return logits.softmax(1).transpose(1, 2) @ events


def straightforward(
    method: ComiRec, lists: list[list[int]], items: int, device: torch.device, *, full: bool
) -> nn.Module:
    """The training as one would write it down."""
    torch.manual_seed(0)
    network = network_of(method, items)
    network.extractor = PaddedAttention(method.dim, method.interests, method.max_length)
    network = network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=method.learning_rate)
    number = min(method.negatives * method.batch_size, items)
    seen = torch.tensor([item for own in lists for item in own])
    p = by_frequency(torch.bincount(seen, minlength=items + 1)[1:]).to(device)
    # With the number of draws for that of tries: a simple stand-in for the true probability.
    log_q = torch.zeros_like(p)
    if number < items:
        log_q = (-torch.expm1(number * torch.log1p(-p))).log()
    users = Users(lists, method.max_length)
    sampler = RandomSampler(users, replacement=True, num_samples=method.steps * method.batch_size)
    for histories, targets in DataLoader(users, batch_size=method.batch_size, sampler=sampler):
        histories, targets = histories.to(device), targets.to(device)
        interests = network(histories)
        wanted = network.items(targets)
        user = closest(interests, wanted)
        if full:
            logits = user @ network.items.weight[1:].T
            loss = F.cross_entropy(logits, targets - 1)
        else:
            drawn = torch.multinomial(p, number, replacement=False)
            others = network.items(drawn + 1)
            positive = (user * wanted).sum(1) - log_q[targets - 1]
            negative = user @ others.T - log_q[drawn]
            hit = targets[:, None] == drawn + 1
            negative = negative.masked_fill(hit, -float("inf"))
            logits = torch.cat([positive[:, None], negative], dim=1)
            loss = F.cross_entropy(logits, torch.zeros_like(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # what a progress bar shows
    return network.eval()


def network_of(method: ComiRec, items: int) -> InterestNetwork:
    """The network that `fit` makes."""
    return InterestNetwork(
        items, dim=method.dim, interests=method.interests, length=method.max_length
    )


def training(
    *, shape: tuple[int, int, float], steps: int = 150, repeats: int = 5, dim: int = 64
) -> dict[str, Any]:
    """Times of so many steps of 128 users; `cross_entropy` is on 500 held-back examples."""
    users, items, mean = shape
    device = default_device()
    lists = events(users, items, mean)
    sequences = Sequences.of(lists)
    method = ComiRec(steps=steps, dim=dim)
    networks: dict[str, nn.Module] = {}

    def ours() -> None:
        with Run(seed=0, device=str(device), precision="fp32") as run:
            networks[OURS] = method.fit(sequences, num_items=items, run=run).model

    def bare(name: str) -> Callable[[], None]:
        def call() -> None:
            networks[name] = straightforward(method, lists, items, device, full=name == FULL)

        return call

    calls = {SAMPLED: bare(SAMPLED), FULL: bare(FULL), OURS: ours}
    times = interleaved(calls, repeats=repeats, on_gpu=device.type == "cuda", warmup=1)
    rows = rows_of(times, SAMPLED)
    held_back = Users(lists, method.max_length)
    examples = [held_back[user] for user in range(min(users, 500))]
    histories, targets = (torch.stack(part).to(device) for part in zip(*examples))
    for row in rows:
        network = networks[row["name"]]
        with torch.no_grad():
            user = closest(network(histories), network.items(targets))
            logits = user @ network.items.weight[1:].T
        row["cross_entropy"] = F.cross_entropy(logits, targets - 1).item()
        row["step_ms"] = row["median_ms"] / steps
    return {"users": users, "items": items, "steps": steps, "dim": dim, "rows": rows}


def ranked_by_loop(network: nn.Module, histories: Tensor, targets: list[list[int]]) -> list[float]:
    """Recall, NDCG and hit rate of 50 items: lists merged and hits counted one user at a time."""
    sums = [0.0, 0.0, 0.0]
    for start in range(0, len(histories), 128):
        with torch.no_grad():
            interests = network(histories[start : start + 128])
            scores = interests @ network.items.weight[1:].T
            values, ids = scores.topk(50, dim=2)
        for row, wanted in enumerate(targets[start : start + 128]):
            pairs = list(zip(ids[row].flatten().tolist(), values[row].flatten().tolist()))
            pairs.sort(key=lambda pair: -pair[1])
            chosen: list[int] = []
            seen = set()
            for item, _ in pairs:
                if item + 1 not in seen:
                    seen.add(item + 1)
                    chosen.append(item + 1)
                if len(chosen) == 50:
                    break
            hits = [place for place, item in enumerate(chosen) if item in wanted]
            ideal = sum(1 / math.log2(place + 2) for place in range(min(len(wanted), 50)))
            sums[0] += len(hits) / len(wanted)
            sums[1] += sum(1 / math.log2(place + 2) for place in hits) / ideal
            sums[2] += bool(hits)
    return [100 * value / len(histories) for value in sums]


def evaluation(
    *, shape: tuple[int, int, float], users: int = 2236, repeats: int = 5, dim: int = 64
) -> dict[str, Any]:
    """Times of recall, NDCG and hit rate of 50 items out of all, for so many users."""
    _, items, mean = shape
    device = default_device()
    method = ComiRec(dim=dim)
    torch.manual_seed(0)
    network = network_of(method, items).to(device).eval()
    with torch.no_grad():
        network.items.weight.mul_(20)  # scores that differ clearly
    past, future = history_and_future(Sequences.of(events(users, items, mean)).to(device))
    histories, padded = past.last(method.max_length), future.padded()
    targets = [[item for item in row if item] for row in padded.tolist()]
    found: dict[str, list[float]] = {}

    def loop() -> None:
        found[LOOP] = ranked_by_loop(network, histories, targets)

    def ours() -> None:
        figures = ranking_figures(network.recommend(past, number=50), padded, at=(50,))
        found[OURS] = [figures[f"{name}_50"] for name in ("recall", "ndcg", "hit_rate")]

    times = interleaved(
        {LOOP: loop, OURS: ours}, repeats=repeats, on_gpu=device.type == "cuda", warmup=1
    )
    for one, other in zip(found[LOOP], found[OURS]):
        assert math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-3), f"the figures differ: {found}"
    return {"users": users, "items": items, "figures": found, "rows": rows_of(times, LOOP)}


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(default_device()), "shapes": {}}
    for name in options.shapes:
        shape = SHAPES[name]
        trained = training(shape=shape, steps=options.steps, repeats=options.repeats)
        ranked = evaluation(shape=shape, users=max(shape[0] // 10, 500), repeats=options.repeats)
        report["shapes"][name] = {"training": trained, "evaluation": ranked}
        title = f"{name}: {options.steps} training steps of 128 users, {shape[1]} items"
        columns = {"cross_entropy": "cross-entropy", "step_ms": "ms a step"}
        show(console, title, trained["rows"], more=columns)
        show(console, f"{name}: full ranking of {ranked['users']} users", ranked["rows"])
    write(options.json, report)


if __name__ == "__main__":
    main()
