"""Training: the network learns, the same config gives the same weights, the best validation epoch is kept."""

import logging
import re

import numpy as np
import pytest
import torch
from conftest import random_network, random_split
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.errors import StudyError
from prunecurve.data.tasks.classes import inputs as classes
from prunecurve.data.tasks.pairs import inputs as pairs
from prunecurve.data.tasks.pairs.metrics import measure
from prunecurve.model.conv_net import Architecture
from prunecurve.provenance import seal
from prunecurve.model.network_file import built, load_model, prepare_torch, save_model
from prunecurve.model.parameters import Network
from prunecurve.data.batches import Split, all_logits
from prunecurve.training.training import Augmenter, Recipe, train
from test_arrays import Danger

SHAPE = {"channels": [8, 8], "hidden": [16, 8], "dropout": 0.2}
ARCHITECTURE = Architecture(in_channels=2, image_size=8, **SHAPE)
RECIPE = Recipe(epochs=6, batch_size=32, learning_rate=0.01, weight_decay=0.01, max_shift=0, swap=True, same_weight=1.0)
CPU = torch.device("cpu")


def bars(seed: int, images: int = 60) -> Split:
    """Return pairs of noisy horizontal or vertical bars, two classes that a small network can distinguish."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, images)
    pixels = rng.integers(0, 60, (images, 1, 8, 8), dtype=np.uint8)
    pixels[classes == 0, :, 3:5, :] += 180
    pixels[classes == 1, :, :, 3:5] += 180
    first, second = rng.integers(0, images, (2, 600))
    return Split.of(pixels, np.column_stack([first, second]), classes[first] == classes[second], CPU)


def learned(training: Split | None = None, validation: Split | None = None, seed: int = 0, **recipe):
    """Train a new network for pairs, or for classes if each input is one image; return it and its rows."""
    training, validation = training or bars(0), validation or bars(1)
    model = built(Network(**SHAPE), training.numbers, seed)
    return train(
        model,
        RECIPE.model_copy(update=recipe),
        training,
        validation,
        seed,
        CPU,
        pairs if training.index.shape[1] > 1 else classes,
    )


@pytest.fixture(scope="module")
def trained():
    prepare_torch("cpu", 1)
    return learned()


def test_it_learns(trained):
    model, rows = trained
    fresh = bars(2)
    assert measure(all_logits(model, fresh), fresh.labels.numpy())["balanced_accuracy"] > 0.97
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] / 2


def test_it_learns_in_bfloat16_too_and_reproducibly(trained):
    (model, rows), (again, _) = learned(precision="bfloat16"), learned(precision="bfloat16")
    weights = model.state_dict()
    assert rows[-1]["val_balanced_accuracy"] > 0.97
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights.values())
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in weights.items())
    assert not torch.equal(weights["conv1.weight"], trained[0].state_dict()["conv1.weight"])


@given(st.integers(0, 2**31))
def test_pooling_before_relu_changes_no_logit_and_no_gradient(seed):
    """The forward pass of training, compared with the definition, also for windows that are all zero or have ties."""
    model, split = random_network(ARCHITECTURE, seed), random_split(ARCHITECTURE, seed)
    (inputs, labels), *_ = split.batches(20)
    inputs = torch.round(inputs * 2) / 2
    model.train()

    def gradients(way):
        torch.manual_seed(0)
        logits = way()
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return [logits, *torch.autograd.grad(loss, list(model.parameters()))]

    def defined():
        x = inputs
        for conv, bn in ((model.conv1, model.bn1), (model.conv2, model.bn2)):
            x = model.pool(torch.relu(bn(conv(x))))
        x = model.dropout(torch.relu(model.linear1(x.flatten(1))))
        return model.linear3(torch.relu(model.linear2(x)))

    relu = torch.relu(model.bn1(model.conv1(inputs)))
    windows = relu.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert (windows.amax(-1) == 0).any() and ((windows == windows.amax(-1, keepdim=True)).sum(-1) > 1).any()
    for one, other in zip(gradients(lambda: model(inputs)), gradients(defined)):
        assert torch.equal(one, other)


def test_the_best_validation_epoch_is_kept(trained):
    model, rows = trained
    (kept,) = [row for row in rows if row["kept"]]
    assert kept == max(rows, key=lambda row: (row["val_balanced_accuracy"], -row["val_loss"]))
    scores = measure(all_logits(model, bars(1)), bars(1).labels.numpy())
    assert scores["log_loss"] == pytest.approx(kept["val_loss"], rel=1e-6)


def test_the_same_seed_gives_the_same_weights_and_the_log_tells_the_progress(trained, caplog):
    weights = trained[0].state_dict()
    with caplog.at_level(logging.INFO):
        again, other = (learned(seed=seed)[0].state_dict() for seed in (0, 1))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not torch.equal(weights["conv1.weight"], other["conv1.weight"])
    message = r"train seed 1: epoch 2/6  loss 0\..*  validation loss .*, balanced accuracy .* s left"
    assert re.fullmatch(message, caplog.messages[7])


def test_a_diverging_loss_names_the_key():
    with pytest.raises(StudyError, match=r"lower training\.learning_rate \(1e\+30\)"):
        learned(learning_rate=1e30)
    # With a single step, the training loss is still finite, but the validation loss is not.
    with pytest.raises(StudyError, match=r"no epoch gave a finite validation loss; lower training\.learning_rate"):
        learned(learning_rate=1e30, epochs=1, batch_size=600)


@pytest.mark.parametrize("pairs", [33, 65])
def test_a_last_batch_of_one_is_no_error(pairs):
    split = Split(bars(0).images, bars(0).index[:pairs], bars(0).labels[:pairs])
    assert len(learned(split, epochs=1)[1]) == 1


@given(seed=st.integers(0, 1000), shift=st.integers(0, 3), symmetric=st.booleans())
def test_augmentation_keeps_labels_and_moves_whole_images(seed, shift, symmetric):
    """If the order of the two images matters, it stays."""
    split = random_split(ARCHITECTURE, seed)
    augmenter = Augmenter(split, RECIPE.model_copy(update={"max_shift": shift}), symmetric, seed)
    inputs, labels = augmenter.batch(torch.arange(len(split)))
    assert torch.equal(labels, split.labels)
    padded = np.pad(split.images.numpy(), ((0, 0), (0, 0), (shift, shift), (shift, shift)))
    moves = [(y, x) for y in range(2 * shift + 1) for x in range(2 * shift + 1)]

    def is_moved(found, image):
        return any(np.array_equal(found, padded[image, 0, y : y + 8, x : x + 8] / np.float32(255)) for y, x in moves)

    for (one, two), (first, second) in zip(inputs.numpy(), split.index.tolist()):
        straight = is_moved(one, first) and is_moved(two, second)
        assert straight or (symmetric and is_moved(one, second) and is_moved(two, first))


def test_a_model_comes_back(tmp_path):
    model, split = random_network(ARCHITECTURE, 0), random_split(ARCHITECTURE, 0)
    save_model(tmp_path / "model.pt", model)
    assert np.array_equal(all_logits(load_model(tmp_path / "model.pt"), split), all_logits(model, split))
    # The bytes do not depend on the file name. torch.save with a path would store the name of the temporary file.
    save_model(tmp_path / "other.pt", model)
    assert (tmp_path / "other.pt").read_bytes() == (tmp_path / "model.pt").read_bytes()


def test_a_hostile_model_is_refused_unopened(tmp_path):
    torch.save({"architecture": {}, "state": Danger()}, tmp_path / "model.pt")
    # With a correct checksum, because a checksum does not protect against malicious files.
    seal(str(tmp_path / "model.pt"))
    with pytest.raises(StudyError, match=r"model\.pt is not a model of this workflow .* delete it"):
        load_model(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04\x07\0\0\0"])
def test_a_broken_model_is_named(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(StudyError, match=r"model\.pt"):
        load_model(tmp_path / "model.pt")


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_of_a_model_is_found(tmp_path_factory, where, bit):
    path = tmp_path_factory.mktemp("flipped") / "model.pt"
    save_model(path, random_network(ARCHITECTURE, 0))
    assert torch.load(path, weights_only=True)["architecture"]["image_size"] == 8, "torch ignores the checksum"
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"model\.pt is damaged: .*delete it"):
        load_model(path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_names_the_key():
    with pytest.raises(StudyError, match=r"device: cuda .* use auto or cpu"):
        prepare_torch("cuda", 1)
    assert prepare_torch("auto", 1) == CPU
