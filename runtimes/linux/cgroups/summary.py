"""The statistics of one cgroup in short."""

import errno

from runtimes.linux.cgroups.contract import CgroupError, CgroupStatistics, CgroupStats


def summary(statistics: CgroupStatistics, path: str, *, oom_kills: int) -> CgroupStats:
    """Raises CgroupError for a cgroup that is not there."""
    cpu, memory = statistics.cpu(path, details=False), statistics.memory(path, details=False)
    pids = statistics.pids(path)
    if cpu.usage_ns is None and memory.usage_bytes is None:
        raise CgroupError(errno.ENOENT, f"cannot read cgroup {path}: no such cgroup")
    return CgroupStats(
        cpu_usage_ns=cpu.usage_ns or 0,
        memory_usage_bytes=memory.usage_bytes or 0,
        memory_working_set_bytes=memory.working_set_bytes or 0,
        memory_rss_bytes=memory.rss_bytes or 0,
        memory_limit_bytes=memory.limit_bytes,
        page_faults=memory.page_faults or 0,
        major_page_faults=memory.major_page_faults or 0,
        pids=pids.current or 0,
        pids_limit=None if pids.limit is None or pids.limit < 0 else pids.limit,
        oom_kills=oom_kills,
    )
