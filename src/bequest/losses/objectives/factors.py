"""FT: the teacher's map in other words, which the student learns to say.

Jangho Kim, SeongUk Park, Nojun Kwak, "Paraphrasing Complex Network: Network Compression via Factor
Transfer", NeurIPS 2018.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.objectives.projector import to_common_size


class FactorTransfer(nn.Module):
    """`mean | f_s / ||f_s|| - f_t / ||f_t|| | + mean (decode(f_t) - F_t)^2`, eqs. 2 and 3.

    A paraphraser encodes the teacher's map into factors f_t of fewer channels, from which it can
    be decoded again; a translator makes such factors f_s from the student's map. The second term
    trains the paraphraser alone, the first the translator and the student alone.

    Differs: the paper trains the paraphraser beforehand; here it learns beside the student, so
    that one loop is enough. The reconstruction has the weight of the factors.

    Args:
        student_channels: Of the student's map.
        teacher_channels: Of the teacher's map.
        ratio: k, factors a channel of the teacher; 0.5 in the authors' code.
    """

    def __init__(self, student_channels: int, teacher_channels: int, *, ratio: float = 0.5) -> None:
        super().__init__()
        factors = max(1, round(teacher_channels * ratio))
        self.encoder = _chain(teacher_channels, teacher_channels, factors, factors)
        self.decoder = _chain(factors, factors, teacher_channels, teacher_channels)
        self.translator = _chain(student_channels, student_channels, factors, factors)

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """A scalar; maps are `(batch, channels, height, width)`, the teacher's takes no gradient.

        Raises:
            InputError: When the resolutions do not fit.
        """
        [(student, teacher)] = to_common_size([student_map], [teacher_map])
        teacher = teacher.detach()
        factors = self.encoder(teacher)
        reconstruction = F.mse_loss(self.decoder(factors).float(), teacher.float())
        ours, theirs = _direction(self.translator(student)), _direction(factors.detach())
        return F.l1_loss(ours, theirs) + reconstruction


def _direction(factors: Tensor) -> Tensor:
    return F.normalize(factors.float().flatten(1), dim=1)


def _chain(*channels: int) -> nn.Sequential:
    """3x3 convolutions with BatchNorm and leaky ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers)
