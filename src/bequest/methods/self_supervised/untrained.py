"""No pre-training at all: the control that shows what fine-tuning alone gives."""

from __future__ import annotations

from torch import Tensor, nn

from bequest.methods.base import method
from bequest.run import Result, Run


@method
class Untrained:
    """Leaves the network as it is."""

    def fit(
        self,
        student: nn.Module,
        *,
        images: Tensor,
        image_size: tuple[int, int, int],
        run: Run,
    ) -> Result:
        """Gives `student` back; see `MAE.fit` for the arguments, none of which is used."""
        return run.result(run.place(student), {})
