"""How the networks of the zoo start."""

from __future__ import annotations

from torch import nn


def initialize(network: nn.Module) -> None:
    """Draws fresh weights in place, from torch's global generator.

    Convolutions: He et al., "Delving Deep into Rectifiers" (ICCV 2015), eq. 10, with fan-in,
    which is also right for grouped convolutions. Linear layers: variance ``1 / inputs``, zero
    bias. BatchNorm: scale 1, shift 0.

    Args:
        network: any module; layers of other kinds keep what they have.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
