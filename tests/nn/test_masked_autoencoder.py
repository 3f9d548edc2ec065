"""The decoder's targets by hand, and that nothing hidden reaches the encoder."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.nn.masked_autoencoder import MaskedAutoencoder, cut_patches, random_order
from bequest.nn.normalize import Normalized
from bequest.nn.vit import VisionTransformer

SIZE = (3, 8, 8)


def autoencoder(dim: int = 16) -> MaskedAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vit = VisionTransformer(image_size=SIZE, patch=4, dim=16, depth=2, heads=2)
        encoder = Normalized(vit, [0.5] * 3, [0.25] * 3)
        return MaskedAutoencoder(encoder, image_size=SIZE, dim=dim, depth=1, heads=2).eval()


def images() -> torch.Tensor:
    return torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(1))


def test_patches_are_cut_row_by_row() -> None:
    cut = cut_patches(images(), 4)
    assert cut.shape == (2, 4, 48)
    assert torch.equal(cut[1, 1], images()[1, :, :4, 4:].flatten())
    assert torch.equal(cut[1, 2], images()[1, :, 4:, :4].flatten())


def test_the_guess_depends_on_visible_patches_alone_and_knows_where_it_guesses() -> None:
    network, order = autoencoder(), torch.tensor([[2, 0, 1, 3], [1, 3, 2, 0]])
    changed = images()
    changed[0, :, :4, 4:] = 0  # patch 1, hidden
    first, second = (network(x, order, 2) for x in (images(), changed))
    assert torch.equal(first, second)
    changed[0, :, 4:, :4] = 0  # patch 2, visible
    assert not torch.allclose(network(changed, order, 2)[0], first[0])
    assert torch.equal(network(changed, order, 2)[1], first[1])
    swapped = torch.tensor([[2, 0, 3, 1], [1, 3, 2, 0]])
    assert torch.allclose(network(images(), swapped, 2)[0], first[0].flip(0), atol=1e-6)
    reordered = torch.tensor([[0, 2, 1, 3], [1, 3, 2, 0]])
    assert torch.allclose(network(images(), reordered, 2), first, atol=1e-5)


def test_the_loss_is_on_hidden_patches_normalised_one_by_one() -> None:
    network, order = autoencoder(), torch.tensor([[2, 0, 1, 3], [1, 3, 2, 0]])
    guess = network(images(), order, 3)
    expected = 0.0
    for image, hidden in ((0, 3), (1, 0)):
        patch = cut_patches(images(), 4)[image, hidden]
        patch = (patch - patch.mean()) / (patch.var() + 1e-6).sqrt()
        expected += (guess[image, 0] - patch).square().mean().item() / 2
    assert network.loss(images(), order, 3).item() == pytest.approx(expected, rel=1e-5)
    raw = (guess[:, 0] - cut_patches(images(), 4)[[0, 1], [3, 0]]).square().mean()
    assert network.loss(images(), order, 3, normalize=False).item() == pytest.approx(raw.item())


def test_orders_are_permutations_of_their_own() -> None:
    order = random_order(50, 9, torch.Generator().manual_seed(0))
    assert torch.equal(order.sort(1).values, torch.arange(9).expand(50, -1))
    assert len({tuple(row) for row in order.tolist()}) > 45


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="dim is 18"):
        autoencoder(dim=18)
