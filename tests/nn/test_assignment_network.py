"""The pair scorer beside a restatement edge by edge; what batch mates may and may not change."""

from __future__ import annotations

import pytest
import torch

from bequest.nn.assignment_network import PairScorer, Standardize
from bequest.ops.assignment import pad_problems
from bequest.ops.bipartite import cheapest_pairs, neighbour_counts


def scorer(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PairScorer(**{"layers": 2} | options).double()  # statistics magnify rounding


def matrices(*shapes):
    rng = torch.Generator().manual_seed(1)
    return [torch.rand(shape, generator=rng, dtype=torch.float64) for shape in shapes]


def score(network, costs, counts=None):
    problems = pad_problems(costs)
    pairs = cheapest_pairs(problems, neighbour_counts(problems) if counts is None else counts)
    scores = torch.zeros(pairs.kept.shape, dtype=torch.float64)
    scores = scores.masked_scatter(pairs.kept, network(problems, pairs).double())
    return [s[: c.shape[0], : c.shape[1]] for s, c in zip(scores, costs)]


# -- the published network, restated: one list entry an edge, statistics over the whole list ------


def norm(rows):
    table = torch.stack(rows)
    mean, deviation = table.mean(0), (table.var(0) + 1e-5).sqrt()
    return [(row - mean) / deviation for row in rows]


def mlp(module, rows):
    for linear in module.linears:
        rows = norm([torch.relu(linear.weight @ row + linear.bias) for row in rows])
    return rows


def gate(module, rows):
    table = torch.stack(rows)
    pooled = torch.cat([table.mean(0), table.max(0).values, table.min(0).values])
    factor = module.layers(pooled[None])[0]
    return [row * factor for row in rows]


def restated(network, costs, kept):
    n, m = costs.shape
    edges, e = [], []
    for i in range(n):
        for j in range(m):
            if kept[i, j]:
                edges += [(i, n + j), (n + j, i)]
                e += [costs[i, j][None]] * 2
    x = [torch.zeros(network.node_width, dtype=torch.float64) for _ in range(n + m)]
    e = mlp(network.encoder, e)
    for layer in network.layers:
        e, x = gate(network.gates[0], e), gate(network.gates[1], x)
        first = mlp(layer.edge, [torch.cat([x[s], x[d], v]) for (s, d), v in zip(edges, e)])
        e = mlp(layer.edge_again, [torch.cat([a, b]) for a, b in zip(first, e)])
        w = mlp(layer.weight, [torch.cat([x[d], x[s]]) for s, d in edges])
        w = [torch.sigmoid(layer.weight_out(v)) for v in w]
        message = mlp(
            layer.message, [torch.cat([a * x[s], v]) for (s, _), a, v in zip(edges, w, e)]
        )
        new = []
        for node, value in enumerate(x):
            incoming = [g for (_, d), g in zip(edges, message) if d == node]
            mean = torch.stack(incoming).mean(0) if incoming else torch.zeros_like(value)
            new.append(torch.cat([value, mean]))
        x = mlp(layer.node, new)
    found = [torch.sigmoid(network.score(v)) for v in mlp(network.decoder, e)]
    scores = torch.zeros(n, m, dtype=torch.float64)
    for (s, d), value in zip(edges, found):
        scores[min(s, d), max(s, d) - n] += value[0] / 2
    return scores


@pytest.mark.parametrize("statistics", ["problem", "batch"])
@pytest.mark.parametrize(("shape", "keep"), [((4, 4), 2), ((3, 5), 4)])
def test_a_problem_by_itself_is_scored_as_published(statistics, shape, keep):
    network = scorer(statistics=statistics)
    (costs,) = matrices(shape)
    counts = torch.tensor([keep])
    kept = cheapest_pairs(pad_problems([costs]), counts).kept[0]
    (found,) = score(network, [costs], counts)
    torch.testing.assert_close(found, restated(network, costs, kept))


def test_with_statistics_of_each_problem_company_changes_nothing():
    network, costs = scorer(), matrices((4, 4), (7, 3), (1, 1), (12, 12))
    for alone, together in zip((score(network, [c])[0] for c in costs), score(network, costs)):
        torch.testing.assert_close(alone, together)
    of_batch = scorer(statistics="batch")
    assert (score(of_batch, costs)[0] - score(of_batch, costs[:1])[0]).abs().max() > 1e-3


def test_permuting_rows_and_columns_permutes_scores():
    network, (costs,) = scorer(), matrices((5, 6))
    rows, columns = torch.randperm(5), torch.randperm(6)
    (plain,), (mixed,) = score(network, [costs]), score(network, [costs[rows][:, columns]])
    torch.testing.assert_close(mixed, plain[rows][:, columns])


def test_gradients_reach_costs_and_every_weight():
    network = scorer()
    costs = torch.stack(matrices((4, 4), (4, 4))).requires_grad_()
    torch.stack(score(network, list(costs))).square().sum().backward()
    assert costs.grad.abs().sum() > 0
    assert costs.grad.isfinite().all()
    unused = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    # Nodes begin at 0, and what the last layer does to them is not read.
    assert unused == {
        name
        for name, _ in network.named_parameters()
        if name.startswith(("layers.0.weight", "layers.1.weight", "layers.1.message"))
        or name.startswith("layers.1.node")
    }


def test_standardised_channels_by_hand():
    values = torch.tensor([[0.0], [2.0], [5.0]])
    segment = torch.tensor([0, 0, 1])
    found = Standardize("problem")(values, segment, 2).flatten()
    assert found.tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5, 0.0], abs=1e-4)
    both = Standardize("batch")(values, segment, 2).flatten()
    torch.testing.assert_close(both, ((values - values.mean()) / values.std()).flatten(), atol=1e-4,
                               rtol=0)  # fmt: skip


def test_it_works_inside_autocast():
    network, costs = scorer().float(), [m.float() for m in matrices((3, 3))]
    with torch.autocast("cpu", torch.bfloat16):
        (inside,) = score(network, costs)
    torch.testing.assert_close(inside, score(network, costs)[0])
