"""FitNets: a hint from the middle of the teacher for the middle of the student.

Adriana Romero, Nicolas Ballas, Samira Ebrahimi Kahou, Antoine Chassang, Carlo Gatta, Yoshua Bengio,
"FitNets: Hints for Thin Deep Nets", ICLR 2015.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.objectives.projector import Projector, to_common_size


class Hint(nn.Module):
    """`mean (r(F_s) - F_t)^2` with a regressor r that is learnt, eq. 3.

    Differs: the paper trains hint and logits one after the other; here the hint is a term beside
    the others all the time, as in the public comparisons. The regressor is a 1x1 convolution with
    BatchNorm and ReLU, after averaging to one resolution.

    Args:
        student_channels: Of the student's map.
        teacher_channels: Of the teacher's map.
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.regressor = Projector(student_channels, teacher_channels, rectify=True)

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """A scalar; maps are `(batch, channels, height, width)`, the teacher's takes no gradient.

        Raises:
            InputError: When the resolutions do not fit.
        """
        [(student, teacher)] = to_common_size([student_map], [teacher_map])
        return F.mse_loss(self.regressor(student).float(), teacher.detach().float())
