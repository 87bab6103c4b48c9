"""Between the API's units and those of cgroups: docs/facts/node-resources.md 2.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.linux.cgroups.units import (
    container_cpu_weight,
    cpu_quota,
    cpu_shares,
    cpu_weight,
    quota_to_milli,
    shares_to_milli,
    weight_to_shares,
)


@pytest.mark.parametrize(
    ("milli", "shares"), [(0, 2), (1, 2), (2, 2), (3, 3), (100, 102), (1000, 1024), (10**6, 262144)]
)
def test_cpu_shares(milli: int, shares: int) -> None:
    """2.2: 0 → 2; else floor(m*1024/1000), clamped to 2…262144."""
    assert cpu_shares(milli) == shares


@pytest.mark.parametrize(
    ("milli", "period", "quota"), [(0, 100_000, 0), (1, 100_000, 1000), (250, 100_000, 25_000), (1500, 5000, 7500)]
)
def test_cpu_quota(milli: int, period: int, quota: int) -> None:
    """2.2: 0 → unset; floor(m*period/1000), at least 1000."""
    assert cpu_quota(milli, period) == quota


def test_other_conversions() -> None:
    """2.2: back from shares, quota and weight; the agent's weights and those of OCI runtimes."""
    assert [shares_to_milli(shares) for shares in (2, 102, 1024)] == [2, 100, 1000]
    assert [quota_to_milli(quota, 100_000) for quota in (1000, 25_000)] == [10, 250]
    assert [cpu_weight(shares) for shares in (2, 1024, 262144)] == [1, 39, 10000]
    assert [weight_to_shares(weight) for weight in (1, 39, 10000)] == [2, 998, 262144]
    assert [container_cpu_weight(shares) for shares in (2, 1024, 262144)] == [1, 100, 10000]


@given(st.integers(10, 256_000))
def test_shares_come_back_as_the_request(milli: int) -> None:
    """6.4 needs it: a request of 10m or more is what its shares are turned back to, or at most 1m less."""
    assert milli - shares_to_milli(cpu_shares(milli)) in (0, 1)
