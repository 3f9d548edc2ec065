"""How alike the attention of a student and of its teacher is: a figure and a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bequest.memory.replay import to_floats
from bequest.nn.modes import frozen
from bequest.nn.transformer_layers import LayerTap
from bequest.ops.token_relations import log_relation, relation_scores
from bequest.run import Run
from bequest.run.pictures import drawn


class RelationReport:
    """Compares one layer of a student with one of its teacher on the same images.

    Args:
        teacher: On the run's device.
        student: On the run's device; sees images of the same number of patches.
        heads: To split both into; 0 averages the maps of each side over its own heads.
        run: Precision; the time goes to the section `evaluation`.
    """

    def __init__(self, teacher: LayerTap, student: LayerTap, *, heads: int, run: Run) -> None:
        self.teacher, self.student, self.heads, self.run = teacher, student, heads, run

    def correlation(
        self, pixels: Tensor, kinds: Sequence[str], *, batch_size: int = 250
    ) -> dict[str, float]:
        """Pearson's correlation of the entries of two maps, the mean over images and heads.

        Args:
            pixels: `(count, channels, height, width)`, uint8.
            kinds: Of relations.
            batch_size: Images at once.

        Returns:
            `relation_correlation`, the mean over kinds, in [-1, 1].
        """
        total = 0.0
        with self.run.section("evaluation"):
            for batch in pixels.split(batch_size):
                for kind in kinds:
                    maps = (m.flatten(2) for m in self._maps(batch, kind))
                    first, second = (m - m.mean(-1, keepdim=True) for m in maps)
                    cosines = torch.cosine_similarity(first, second, dim=-1)
                    total += cosines.mean(1).sum().item()
        return {"relation_correlation": total / (len(pixels) * len(kinds))}

    def picture(self, pixels: Tensor, kinds: Sequence[str], *, prefix: int = 1) -> Tensor:
        """For each image: where the class token looks, and the mean map, of teacher and student.

        Args:
            pixels: `(count, channels, height, width)`, uint8; a square number of patches.
            kinds: Of relations; the first is drawn on the image too.
            prefix: Tokens before those of the patches.

        Returns:
            `(1, 3, height, width)` in [0, 1].
        """
        from matplotlib.figure import Figure

        pairs = {kind: [m.mean(1).cpu() for m in self._maps(pixels, kind)] for kind in kinds}
        titles = ["image", "teacher, class token", "student, class token"]
        titles += [f"{who}, {kind}" for kind in kinds for who in ("teacher", "student")]
        rows, columns = len(pixels), len(titles)
        figure = Figure(figsize=(1.5 * columns, 1.6 * rows), layout="constrained")
        for row, axes in enumerate(figure.subplots(rows, columns, squeeze=False)):
            image = pixels[row].cpu()
            looks = [m[row, 0, prefix:] for m in pairs[kinds[0]]]
            grids = [look.view(round(len(look) ** 0.5), -1) for look in looks]
            maps = [m[row] for kind in kinds for m in pairs[kind]]
            axes[0].imshow(image.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray")
            panels = grids + maps  # pairs of teacher and student, each on one scale
            for place, (axis, values) in enumerate(zip(axes[1:], panels)):
                pair = torch.cat([m.flatten() for m in panels[place // 2 * 2 :][:2]])
                low, high = pair.min().item(), pair.max().item()
                axis.imshow(values.numpy(), cmap="viridis", vmin=low, vmax=high)
            for axis, title in zip(axes, titles):
                axis.set_axis_off()
                if row == 0:
                    axis.set_title(title, fontsize=7)
        return drawn(figure)

    @torch.no_grad()
    def _maps(self, pixels: Tensor, kind: str) -> list[Tensor]:
        """Relations of teacher and student, `(batch, heads, tokens, tokens)` each, fp32."""
        found = []
        for tap in (self.teacher, self.student):
            with frozen(tap.network), self.run.autocast():
                projections = tap.projections(to_floats(pixels).to(self.run.device))
                scores = relation_scores(projections, kind, heads=self.heads or tap.heads)
            found.append(log_relation(scores, mean_head=not self.heads).exp())
        return found
