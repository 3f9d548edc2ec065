"""What was selected of a pool, epoch by epoch, as tables and pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bequest.memory.replay import to_floats
from bequest.ops.selection import Selected
from bequest.run import Run
from bequest.synthesis.shift import class_entropy

_CLASSES_SHOWN = 20


class SelectionLog:
    """Statistics of each selection; what is told is kept for the report at the end.

    Args:
        count: Images of the pool.
        device: Of the masks.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.rows: dict[str, list[float]] = {}
        self.kept = torch.zeros(count, dtype=torch.bool, device=device)

    def tell(self, selected: Selected, *, trust: float, agreement: float, run: Run) -> None:
        """Records one selection.

        Args:
            selected: What was selected.
            trust: The teacher's share of the mixed logits, in [0, 1].
            agreement: Share of the images for which both networks choose one class, in [0, 1].
            run: Takes the figures.
        """
        self.kept.copy_(selected.mask)
        kept_counts = torch.bincount(selected.labels[selected.mask], minlength=len(selected.counts))
        figures = {
            "kept_share": selected.mask.float().mean().item(),
            "kept_class_entropy": class_entropy(kept_counts),
            "trust": trust,
            "pool_agreement": 100 * agreement,
        }
        run.record(**figures)
        row = {
            "step": float(run.step),
            **figures,
            "threshold": selected.thresholds.mean().item(),
        }
        if len(kept_counts) <= _CLASSES_SHOWN:
            row |= {f"kept_{label}": float(n) for label, n in enumerate(kept_counts.tolist())}
        for name, value in row.items():
            self.rows.setdefault(name, []).append(value)

    def report(self, images: Tensor, run: Run) -> dict[str, float]:
        """Writes the table `selection` and the pictures `kept` and `dropped` of the last epoch.

        Args:
            images: `(count, channels, height, width)`, uint8, those that were selected from.
            run: Takes the report.

        Returns:
            `kept_share`, the mean over all selections; nothing without a selection.
        """
        if not self.rows:
            return {}
        run.table("selection", self.rows)
        for name, mask in (("kept", self.kept), ("dropped", ~self.kept)):
            places = mask.nonzero().flatten()
            if len(places):
                places = places[:: max(1, len(places) // 64)][:64]
                run.picture(name, to_floats(images[places]))
        shares = self.rows["kept_share"]
        return {"kept_share": sum(shares) / len(shares)}

    def state_dict(self) -> dict[str, Any]:
        """Everything told so far, for a checkpoint."""
        return {"rows": {name: list(row) for name, row in self.rows.items()}, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.rows = {name: list(row) for name, row in state["rows"].items()}
        self.kept.copy_(state["kept"])
