"""CPU in the units of the kernel: shares (v1), weights (v2), quotas; and how it names huge pages.

`milli` is thousandths of a CPU, as Kubernetes counts.
"""

import math

MIN_SHARES = 2
MAX_SHARES = 262144
MIN_QUOTA_US = 1000
DEFAULT_PERIOD_US = 100_000
UNLIMITED_QUOTA = -1


def cpu_shares(milli: int) -> int:
    if milli <= 0:
        return MIN_SHARES
    return max(MIN_SHARES, min(MAX_SHARES, milli * 1024 // 1000))


def shares_to_milli(shares: int) -> int:
    return math.ceil(shares * 1000 / 1024)


def cpu_quota(milli: int, period_us: int = DEFAULT_PERIOD_US) -> int:
    """The CFS quota of a CPU limit; 0: no limit."""
    if milli <= 0:
        return 0
    return max(MIN_QUOTA_US, milli * period_us // 1000)


def quota_to_milli(quota_us: int, period_us: int) -> int:
    return quota_us * 1000 // period_us


def cpu_weight(shares: int) -> int:
    """cgroup v2 cpu.weight as the agent writes it for its own cgroups: 1024 shares -> 39."""
    return 1 + (min(max(shares, MIN_SHARES), MAX_SHARES) - 2) * 9999 // 262142


def weight_to_shares(weight: int) -> int:
    return (weight - 1) * 262142 // 9999 + 2


def container_cpu_weight(shares: int) -> int:
    """cpu.weight as current OCI runtimes derive it for containers: 1024 shares -> 100."""
    if shares <= MIN_SHARES:
        return 1
    if shares >= MAX_SHARES:
        return 10000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def page_size_name(size_bytes: int) -> str:
    """2097152 -> `2MB`, 1073741824 -> `1GB`, as the kernel names the files of a huge page size."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20)):
        if size_bytes >= factor:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes // 1024}KB"
