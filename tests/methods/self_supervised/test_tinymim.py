"""TinyMIM's loss against the published order of operations, what it trains, what it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.memory.unlabelled import UnlabelledPool
from bequest.methods.base import change
from bequest.methods.self_supervised.mae import MAE
from bequest.methods.self_supervised.tinymim import Lesson, TinyMIM
from bequest.nn.normalize import Normalized
from bequest.nn.vit import VisionTransformer
from bequest.run import Run
from bequest.testing import fingerprint

SIZE = (1, 8, 8)
SHORT = TinyMIM(steps=4, batch_size=32, smallest_crop=0.6, learning_rate=1e-2, warm_up=0.0)


def images(count: int = 96) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, *SIZE), generator=rng, dtype=torch.uint8)


def vit(dim: int, depth: int, heads: int, *, seed: int = 0, patch: int = 2) -> Normalized:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = VisionTransformer(image_size=SIZE, patch=patch, dim=dim, depth=depth, heads=heads)
    return Normalized(network, [0.5], [0.25])


def lesson(
    method: TinyMIM, run: Run, teacher: nn.Module | None = None, student: nn.Module | None = None
) -> Lesson:
    pool = UnlabelledPool(images(), image_size=SIZE, device=run.device)
    return Lesson(
        vit(16, 4, 4) if teacher is None else teacher,
        vit(8, 2, 2, seed=1) if student is None else student,
        method,
        run,
        pool=pool,
    )


def fit(method: TinyMIM, folder: Path | None = None, **options: object) -> tuple:
    teacher, student = vit(16, 4, 4), vit(8, 2, 2, seed=1)
    before = fingerprint(teacher)
    with Run(folder, device="cpu", precision="fp32") as run:
        result = method.fit(teacher, student, images=images(), image_size=SIZE, run=run, **options)
    assert fingerprint(teacher) == before
    return result, student


def test_the_loss_is_the_published_one() -> None:
    views = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(2))
    teacher, student = vit(16, 4, 4), vit(8, 2, 2, seed=1)
    with Run(device="cpu", precision="fp32") as run:
        terms = lesson(change(SHORT, drop_path=0.0), run, teacher, student).terms(views, views)
    maps: dict[str, list[Tensor]] = {"qk": [], "vv": []}
    for network, layer in ((teacher, 3), (student, 2)):  # three quarters of 4; the last
        kept: list[Tensor] = []
        block = network.network.blocks[layer - 1]
        handle = block.register_forward_pre_hook(lambda _, x, kept=kept: kept.append(x[0]))
        network(views)
        handle.remove()
        q, k, v = block.attn.qkv(block.norm1(kept[0])).chunk(3, -1)
        dim = q.shape[-1] // 4  # the teacher's heads on both sides
        q, k, v = (x.view(3, 17, 4, dim).transpose(1, 2) for x in (q, k, v))
        maps["qk"].append((q @ k.transpose(-2, -1) * dim**-0.5).softmax(-1))
        maps["vv"].append((v @ v.transpose(-2, -1) * dim**-0.5).softmax(-1))
    for kind, (rt, rs) in maps.items():
        expected = (rt * (rt / rs).log()).sum(-1).mean()
        assert terms[kind].item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_tail_of_the_last_block_stays_as_it_began() -> None:
    _, student = fit(SHORT)
    began = vit(8, 2, 2, seed=1).state_dict()
    moved = {n for n, t in student.state_dict().items() if not torch.equal(t, began[n])}
    last = {n for n in moved if n.startswith(("network.blocks.1", "network.norm"))}
    assert last == {
        f"network.blocks.1.{part}.{kind}"
        for part in ("norm1", "attn.qkv")
        for kind in ("weight", "bias")
    }
    assert {n for n in began if n.startswith("network.blocks.0")} <= moved
    assert "network.patch_embed.proj.weight" in moved
    assert "network.pos_embed" not in moved


@pytest.mark.parametrize("target", ["relations", "features", "class-token"])
def test_each_target_falls_on_a_fixed_batch(target: str) -> None:
    method = change(SHORT, target=target, drop_path=0.0, jitter=0.0, smallest_crop=0.0)
    with Run(device="cpu", precision="fp32") as run:
        taught = lesson(method, run)
        batch = images()[:32]
        for _ in run.steps(25, state={}):
            taught.step(batch)
    losses = [row["loss"] for row in run.metrics.rows]
    assert losses[-1] < 0.8 * losses[0]


def test_relations_come_to_correlate() -> None:
    first, _ = fit(change(SHORT, steps=1))
    last, _ = fit(change(SHORT, steps=60))
    key = "relation_correlation"
    assert last.metrics[key] > first.metrics[key] + 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "features"},
        {"target": "class-token"},
        {"relations": ("qk",)},
        {"relations": ("qq", "kk")},
        {"softmax": False},
        {"teacher_layer": 4},
        {"teacher_heads": 2},
        {"heads": "mean"},
        {"mask_ratio": 0.75},
        {"drop_path": 0.6},
        {"jitter": 0.0},
        {"flip": False},
        {"smallest_crop": 0.0},
    ],
    ids=str,
)
def test_each_part_changes_what_is_learnt(changes: dict) -> None:
    _, student = fit(SHORT)
    _, other = fit(change(SHORT, **changes))
    assert fingerprint(student) != fingerprint(other)


def test_in_sequence_the_one_in_the_middle_teaches_with_the_heads_it_learnt() -> None:
    middle = vit(12, 3, 3, seed=2)
    began = fingerprint(middle)
    result, student = fit(change(SHORT, sequential=True), middle=[middle])
    assert result.model is student
    assert fingerprint(middle) != began
    assert fingerprint(student) != fingerprint(fit(SHORT)[1])
    with Run(device="cpu", precision="fp32") as run:
        first = lesson(SHORT, run, student=middle)
        pool = first.pool
        second = Lesson(middle, student, SHORT, run, pool=pool, before=first)
    assert (first.teacher.layer, first.heads) == (3, 4)
    assert (second.teacher.layer, second.heads) == (3, 4), "the last layer, four heads and not 3"


def test_middle_networks_are_needed_in_sequence_and_left_alone_otherwise() -> None:
    middle = vit(12, 3, 3, seed=2)
    began = fingerprint(middle)
    fit(SHORT, middle=[middle])
    assert fingerprint(middle) == began
    with pytest.raises(InputError, match="middle"):
        fit(change(SHORT, sequential=True))


def test_a_network_of_others_is_found_by_its_attributes() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.attn, self.mlp = nn.LayerNorm(8), nn.Module(), nn.Linear(8, 8)
            self.attn.qkv, self.attn.num_heads = nn.Linear(8, 24), 2

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.attn.qkv(self.norm1(x)).chunk(3, -1)
            return x + self.mlp(torch.softmax(q @ k.transpose(1, 2), -1) @ v)

    class Theirs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.token = nn.Conv2d(1, 8, 2, 2), nn.Parameter(torch.zeros(1, 1, 8))
            self.blocks = nn.ModuleList([Block(), Block()])

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x).flatten(2).transpose(1, 2)
            x = torch.cat((self.token.expand(len(x), -1, -1), x), 1)
            for block in self.blocks:
                x = block(x)
            return x[:, 0]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        student = Theirs()
    began = fingerprint(student)
    with Run(device="cpu", precision="fp32") as run:
        change(SHORT, drop_path=0.0).fit(
            vit(16, 4, 4), student, images=images(), image_size=SIZE, run=run
        )
    assert fingerprint(student) != began


@pytest.mark.parametrize(
    ("changes", "teacher", "student", "message"),
    [
        ({}, nn.Sequential(nn.Linear(2, 2)), None, "teacher .*no blocks"),
        ({}, None, nn.Sequential(nn.Linear(2, 2)), "student .*no blocks"),
        ({"teacher_layer": 5}, None, None, "Layer 5 of the teacher.*1 to 4"),
        ({"teacher_heads": 16}, None, None, "16 heads.*8 channels of the student"),
        ({"teacher_heads": 3}, None, None, "3 heads.*16 channels of the teacher"),
        ({"relations": ()}, None, None, "relations is empty"),
        ({"mask_ratio": 1.0}, None, None, "mask_ratio 1.0"),
        ({"drop_path": 1.0}, None, None, "drop_path"),
        ({}, None, vit(8, 2, 2, patch=4), "17 tokens.*5 "),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_before_work(
    changes: dict, teacher: nn.Module | None, student: nn.Module | None, message: str
) -> None:
    with Run(device="cpu") as run, pytest.raises(InputError, match=message):
        lesson(change(SHORT, **changes), run, teacher, student)


def test_images_that_do_not_fit_are_refused() -> None:
    with Run(device="cpu") as run, pytest.raises(InputError, match="uint8"):
        SHORT.fit(vit(16, 4, 4), vit(8, 2, 2), images=images().float(), image_size=SIZE, run=run)


def test_half_precision_is_finite_and_close() -> None:
    views = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(2))
    found = []
    for precision in ("fp32", "bf16"):
        with Run(device="cpu", precision=precision) as run:
            terms = lesson(change(SHORT, drop_path=0.0), run).terms(views, views)
            found.append(sum(term.item() for term in terms.values()))
    assert math.isfinite(found[1])
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_mae_learns_to_guess_and_gives_the_encoder_back() -> None:
    method = MAE(
        steps=60,
        batch_size=32,
        decoder_dim=16,
        decoder_depth=1,
        decoder_heads=2,
        learning_rate=1e-2,
        smallest_crop=0.0,
        flip=False,
    )
    student, rng = vit(16, 2, 4), torch.Generator().manual_seed(0)
    ramp = torch.arange(8)[:, None] * torch.randint(1, 32, (96, 1, 1, 8), generator=rng)
    with Run(device="cpu", precision="fp32") as run:
        result = method.fit(student, images=ramp.to(torch.uint8), image_size=SIZE, run=run)
    losses = [row["loss"] for row in run.metrics.rows]
    assert result.model is student
    assert losses[-1] < 0.8 * losses[0]
    assert set(result.model.state_dict()) == set(vit(16, 2, 4).state_dict())
    with Run(device="cpu") as run, pytest.raises(InputError, match=r"mask_ratio of 1\.0"):
        change(method, mask_ratio=1.0).fit(student, images=images(), image_size=SIZE, run=run)
