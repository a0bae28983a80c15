"""The criteria `obs` and `thinet`: every step compared with all candidates, each computed from the inputs alone."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.graph.layer_file import save_layer
from prunecurve.ranking import criteria
from prunecurve.ranking.criteria.obs import Fit
from prunecurve.seeding import stream
from prunecurve.sweep.repair import Reader, save_readers
from prunecurve.tables import read_order
from test_head import layer_file, layers


class Case:
    """A reader with random inputs that are correlated and not centred.

    columns: the number of inputs of each channel. kept: inputs that belong to no channel. The inputs are in any order,
    and fewer than the columns if `count` is small.
    """

    def __init__(self, rng: np.random.Generator, columns: list[int], kept: int, outputs: int, count: int) -> None:
        self.channels = rng.permutation(np.repeat([*range(len(columns)), -1], [*columns, kept]))
        width = len(self.channels)
        self.x = rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)
        self.shares = rng.dirichlet(np.full(count, 3.0))
        self.weight = rng.normal(size=(width, outputs))

    @property
    def reader(self) -> Reader:
        mean, covariance = self.shares @ self.x, np.cov(self.x.T, ddof=0, aweights=self.shares)
        return Reader("head", self.weight, mean[:, None], np.atleast_2d(covariance), self.channels)

    def refitted_error(self, removed: list[int]) -> float:
        """Return the least squared error of the outputs without these channels, with the ridge as further inputs."""
        root = np.sqrt(self.shares)[:, None]
        centred = root * (self.x - self.shares @ self.x)
        ridge = np.sqrt(1e-3 * np.square(centred).sum(axis=0).mean()) * np.eye(len(self.weight))
        rows = np.concatenate([centred, ridge])
        left, wanted = ~np.isin(self.channels, removed), rows @ self.weight
        fitted = np.linalg.lstsq(rows[:, left], wanted, rcond=None)[0]
        return float(np.square(rows[:, left] @ fitted - wanted).sum())

    def removed_sum(self, removed: list[int]) -> float:
        """Return the mean squared norm of what these channels contribute to the outputs."""
        gone = np.isin(self.channels, removed)
        return float(self.shares @ np.square(self.x[:, gone] @ self.weight[gone]).sum(axis=1))


@given(st.integers(0, 2**31), st.integers(2, 4))
def test_shared_coefficients_are_exact_where_inputs_are_alike(seed, shared):
    """The inputs of a channel have the same covariance, and none with those at other positions."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(5, 5))
    one, weight = root @ root.T, rng.normal(size=(5 * shared, 3))
    single = Reader("a", weight, np.zeros((5 * shared, 1)), np.kron(one, np.eye(shared)), np.repeat(range(5), shared))
    together = Reader("a", weight.reshape(5, -1), np.zeros((5, shared)), shared * one, np.arange(5))
    for channel in range(5):
        assert Fit(together, 5).added(channel) == pytest.approx(Fit(single, 5).added(channel))
    layers = [criteria.Layer(np.zeros((5, 1, 1, 1)), None, rng, readers=[each]) for each in (single, together)]
    for name in ("obs", "thinet"):
        assert np.array_equal(*(criteria.scores(name, layer) for layer in layers))


@st.composite
def groups(draw):
    """Draw one to three readers of the same channels, which some of them read several times and some not at all."""
    rng, channels = np.random.default_rng(draw(st.integers(0, 2**31))), draw(st.integers(1, 5))
    columns = st.lists(st.integers(0, 3), min_size=channels, max_size=channels).filter(any)
    readers = st.tuples(columns, st.integers(0, 3), st.integers(1, 3), st.sampled_from([2, 5, 40]))
    return channels, [Case(rng, *each) for each in draw(st.lists(readers, min_size=1, max_size=3))]


def order_of(name: str, channels: int, readers: list[Reader]) -> list[int]:
    filters = np.zeros((channels, 1, 1, 1), np.float32)
    layer = criteria.Layer(filters, None, stream(0, "x"), readers=readers)
    return criteria.ranking(criteria.scores(name, layer)).tolist()


@given(groups())
def test_obs_removes_the_channel_whose_removal_costs_least_after_a_refit(group):
    channels, cases = group
    readers = [case.reader for case in cases]
    order, fits = order_of("obs", channels, readers), [Fit(reader, channels) for reader in readers]
    assert sorted(order) == list(range(channels))
    for k, chosen in enumerate(order):
        before = [case.refitted_error(order[:k]) for case in cases]
        added = {
            c: [case.refitted_error([*order[:k], c]) - least for case, least in zip(cases, before)] for c in order[k:]
        }
        exact = 1e-8 * sum(case.refitted_error(order) for case in cases)
        for c, each in added.items():
            assert [fit.added(c) for fit in fits] == pytest.approx(each, rel=1e-6, abs=exact)
        assert sum(added[chosen]) <= min(map(sum, added.values())) + exact
        for fit in fits:
            fit.remove(chosen)


@given(groups())
def test_thinet_removes_the_channel_with_the_least_sum_of_all_that_are_removed(group):
    channels, cases = group
    order = order_of("thinet", channels, [case.reader for case in cases])
    assert sorted(order) == list(range(channels))
    for k, chosen in enumerate(order):
        sums = {c: sum(case.removed_sum([*order[:k], c]) for case in cases) for c in order[k:]}
        assert sums[chosen] <= min(sums.values()) * (1 + 1e-9) + 1e-9


def test_what_can_be_replaced_is_removed_first():
    """By obs, which refits: a channel that others or an input without a channel repeat, however large it is."""
    rng = np.random.default_rng(0)
    case = Case(rng, [1] * 6, 1, 4, 200)
    case.x, case.channels = rng.normal(size=case.x.shape), np.array([0, 1, 2, 3, 4, 5, -1])
    case.x[:, 1], case.x[:, 4] = case.x[:, 6], case.x[:, 0] - case.x[:, 2]
    case.weight[[1, 4]] *= 20
    order = order_of("obs", 6, [case.reader])
    assert 1 in order[:2] and {*order[:2]} & {0, 2, 4}
    # Without a refit, they change the outputs most.
    assert {*order_of("thinet", 6, [case.reader])[-2:]} == {1, 4}


def test_channels_that_compensate_each_other_are_removed_together():
    """By thinet; their contributions to the mean count too."""
    rng = np.random.default_rng(1)
    case = Case(rng, [1] * 4, 0, 3, 100)
    case.x, case.channels = rng.normal(2.0, 1.0, size=case.x.shape), np.arange(4)
    case.x[:, 2] = case.x[:, 1]
    case.weight[2] = -case.weight[1]
    case.weight[[0, 3]] *= 3
    assert {*order_of("thinet", 4, [case.reader])[:2]} == {1, 2}
    # With obs, the bias takes up a constant.
    case.x[:, 3] = 50.0
    assert order_of("thinet", 4, [case.reader])[-1] == 3 and order_of("obs", 4, [case.reader])[-1] == 0


@pytest.mark.parametrize("name", ["obs", "reversed-thinet"])
def test_the_script_reads_the_file_of_readers(name, tmp_path):
    rng = np.random.default_rng(2)
    cases = [Case(rng, [2] * 7, 1, 4, 50), Case(rng, [0, 1, 2, 3, 1, 1, 1], 0, 2, 50)]
    readers = [case.reader for case in cases]
    save_readers(tmp_path / "moments.npy", readers)
    save_layer(tmp_path / "layer.npy", layer_file(layers(rng, 7, 4, [5]), 7))
    options = ["--criterion", name, "--layer", "layer.npy", "--readers", "moments.npy", "--seed", "0"]
    script = PROJECT / "workflow" / "scripts" / "rank_channels.py"
    subprocess.run([sys.executable, script, *options, "--output", "ranking.csv"], cwd=tmp_path, check=True, timeout=60)
    expected = order_of(name.removeprefix("reversed-"), 7, readers)
    found = read_order(tmp_path / "ranking.csv", 7).tolist()
    assert found == (expected[::-1] if name.startswith("reversed-") else expected)
