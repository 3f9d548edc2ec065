import pytest
import torch

from bequest.errors import InputError
from bequest.ops.rotations import all_quarter_turns, quarter_turns


def test_each_image_turns_by_its_own_number():
    images = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(4, 1, 2, 2)
    turned = quarter_turns(images, torch.tensor([0, 1, 2, 5]))
    assert turned[:, 0].tolist() == [
        [[1, 2], [3, 4]],
        [[2, 4], [1, 3]],
        [[4, 3], [2, 1]],
        [[2, 4], [1, 3]],
    ]


def test_the_four_turns_lie_side_by_side():
    images = torch.rand(3, 2, 5, 5)
    turned = all_quarter_turns(images)
    for k in range(4):
        torch.testing.assert_close(turned[k::4], images.rot90(k, (2, 3)))


def test_four_single_turns_give_the_image_back():
    images = torch.rand(2, 1, 4, 4)
    turned = images
    for _ in range(4):
        turned = quarter_turns(turned, torch.ones(2, dtype=torch.int64))
    assert torch.equal(turned, images)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(InputError, match="square"):
        quarter_turns(torch.rand(2, 1, 4, 5), torch.zeros(2))
