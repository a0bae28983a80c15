"""Batches of network inputs: which pixels are stacked, and their normalisation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.data.batches import Normalisation, Split
from prunecurve.errors import StudyError


def split(channels: int, images_per_input: int, normalisation: Normalisation, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, channels, 6, 6), dtype=np.uint8)
    index, labels = rng.integers(0, 5, (9, images_per_input)), rng.integers(0, 3, 9)
    return Split.of(images, index, labels, "cpu", normalisation)


@given(
    channels=st.sampled_from([1, 3]),
    several=st.booleans(),
    images_per_input=st.integers(1, 3),
    size=st.integers(1, 10),
    seed=st.integers(0, 100),
)
def test_inputs_are_normalised_images(channels, several, images_per_input, size, seed):
    """Compared with numpy, image by image and channel by channel."""
    count = channels if several else 1
    mean, std = (0.1, 0.45, 0.5)[:count], (0.2, 0.3, 2.0)[:count]
    of = split(channels, images_per_input, Normalisation(mean=list(mean), std=list(std)), seed)
    inputs, labels = (torch.cat(parts) for parts in zip(*of.batches(size)))
    assert len(of) == 9 and of.numbers["in_channels"] == inputs.shape[1] == channels * images_per_input
    images = of.images.numpy() / 255
    for found, row in zip(inputs.numpy(), of.index.tolist()):
        planes = [(images[i, c] - mean[c % count]) / std[c % count] for i in row for c in range(channels)]
        assert found == pytest.approx(np.array(planes), abs=1e-5)
    assert torch.equal(labels, of.labels)


def test_without_normalisation_pixels_are_divided_by_255():
    of = split(1, 2, Normalisation())
    (inputs, _), *_ = of.batches(9)
    assert torch.equal(inputs, of.images[of.index][:, :, 0].float() / 255)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("channels", "mean", "std", "message"),
    [
        (
            3,
            [0.1, 0.2],
            [1],
            "mean: 2 numbers, but the channels of an image are 3; give one number, or one per channel$",
        ),
        (3, [0], [1] * 4, "std: 4 numbers"),
        (1, [0.1] * 3, [1], "mean: 3 numbers, but the channels of an image are 1; .* or set image_channels: 3$"),
    ],
)
def test_numbers_for_other_channels_are_refused(channels, mean, std, message):
    with pytest.raises(StudyError, match=rf"^preprocess\.{message}"):
        split(channels, 2, Normalisation(mean=mean, std=std))
