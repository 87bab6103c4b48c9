"""Group 6, cost of isolation: figures of a pod beside those of the bare host.

What a probe weighs in the score is the share of the host's speed that is lost (`figures.lost`), if the host's median is beyond
the spread of the pod: 100 is as fast as the host.
"""

from dataclasses import dataclass

from nodeagent.isolation.contract import Figure, Finding, Group, Probe, Risk, Sight, Verdict
from nodeagent.isolation.experiments.costs import Costs
from nodeagent.isolation.groups import facts, figures

_MIB = 1 / 2**20
_MICROSECONDS = 1e-3  # of nanoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """`section`, `fact`: where its runs are (of the pod and, unless `host_section` says otherwise, of the host)."""

    id: str
    title: str
    why: str
    section: str
    fact: str
    unit: str
    scale: float = 1.0
    more_is_better: bool = False
    host_section: str = ""

    def judge(self, sight: Sight) -> Finding:
        own = facts.fact(sight.own, "costs", "pod", self.section)
        bare = facts.fact(sight.own, "costs", "host").get(self.host_section or self.section, {})
        if "error" in own:
            raise facts.NoFact(f"{self.section}: {own['error']}")
        found = figures.figure(own.get(self.fact), self.unit, scale=self.scale, host=bare.get(self.fact))
        if found.host is None:
            return self._finding(found, f"{found.median:g} {self.unit}", "the host has no figure", None)
        theirs = figures.figure(bare.get(self.fact), self.unit, scale=self.scale)
        times = figures.slowness(found.median, theirs.median, more_is_better=self.more_is_better) or 1.0
        value = f"{found.median:g} {self.unit}, {times:.2f} times the host's time"
        slower = not found.low <= theirs.median <= found.high  # beyond the spread
        exposure = figures.lost(times) if slower else 0.0
        return self._finding(found, value, f"the host: {figures.spread(theirs)}", exposure)

    def _finding(self, found: Figure, value: str, host: str, exposure: float | None) -> Finding:
        return Finding(
            probe=self.id,
            verdict=Verdict.MEASURED,
            value=value,
            evidence=f"{figures.spread(found)}; {host}",
            figure=found,
            exposure=exposure,
        )


def _time(id: str, title: str, section: str, fact: str, *, why: str, unit: str = "us", host: str = "") -> Cost:
    scale = _MICROSECONDS if unit == "us" else 1.0
    return Cost(
        id=f"cost.{id}",
        title=title,
        why=why,
        section=section,
        fact=fact,
        unit=unit,
        scale=scale,
        host_section=host,
    )


def _rate(id: str, title: str, section: str, fact: str, *, why: str, unit: str = "MiB/s", host: str = "") -> Cost:
    return Cost(
        id=f"cost.{id}",
        title=title,
        why=why,
        section=section,
        fact=fact,
        unit=unit,
        more_is_better=True,
        host_section=host,
    )


COSTS = (
    _time("getpid", "a system call that does nothing", "calls", "getpid", unit="ns", why="the price of every call"),
    _time("file_call", "a file opened, read, closed", "calls", "open read close", why="loading programs and modules"),
    _time("futex", "a futex woken", "calls", "futex", unit="ns", why="locks of threads"),
    _time("epoll", "an event made, waited for, taken", "calls", "epoll", why="servers of any kind"),
    _time("pipe", "two processes over pipes, there and back", "switches", "pipe", why="switches between processes"),
    _time("handover", "two processes over a futex, there and back", "switches", "futex", why="switches of threads"),
    _time("compute", "a thousand steps of computing", "work", "compute", unit="ns", why="no system call in it"),
    _time("chase", "a thousand reads of memory at random", "work", "chase", why="tables of pages, nested or not"),
    _rate("copy", "memory copied", "work", "copy", why="the bandwidth of memory"),
    _rate("faults", "pages of memory touched first", "work", "faults", unit="1/s", why="memory that is new"),
    _rate("spawn", "processes made and run", "spawn", "spawn", unit="1/s", why="shells, builds, CGI"),
    *(
        cost
        for section, name, words in (("storage", "layer", "in its own layer"), ("volume", "volume", "in an emptyDir"))
        for cost in (
            _rate(
                f"{name}.write",
                f"files written {words}",
                section,
                "write",
                host="storage",
                why="through the page cache",
            ),
            _rate(f"{name}.read", f"files read {words}", section, "read", host="storage", why="from the page cache"),
            _time(
                f"{name}.read_page",
                f"4 KiB read at random {words}",
                section,
                "read page",
                host="storage",
                why="databases: from the page cache",
            ),
            _time(
                f"{name}.sync",
                f"4 KiB on the disk {words}",
                section,
                "sync page",
                host="storage",
                why="databases' logs",
            ),
            _time(
                f"{name}.make",
                f"files made and removed {words}",
                section,
                "make and remove",
                host="storage",
                why="package managers, builds",
            ),
        )
    ),
    _time("pod_round_trip", "64 bytes to a pod and back", "tcp", "round trip", host="tcp", why="requests"),
    _rate("pod_throughput", "one TCP connection to a pod", "tcp", "throughput", host="tcp", why="bulk data"),
    _time("host_round_trip", "64 bytes to the host and back", "tcp-host", "round trip", host="tcp", why="requests"),
    _rate("host_throughput", "one TCP connection to the host", "tcp-host", "throughput", host="tcp", why="bulk data"),
)


def _start(sight: Sight) -> Finding:
    runs = facts.fact(sight.own, "costs", "start")
    found = figures.figure(runs.get("pod"), "ms", host=runs.get("host"))
    evidence = f"{figures.spread(found)} from asking for the pod to its program; the program alone: {found.host:g} ms"
    return Finding(
        probe="cost.start",
        verdict=Verdict.MEASURED,
        value=f"{found.median:g} ms",
        evidence=evidence,
        figure=found,
    )


def _memory(sight: Sight) -> Finding:
    runs = facts.fact(sight.own, "costs", "memory")
    found = figures.figure(runs.get("pod"), "MiB", scale=_MIB, host=runs.get("host"))
    parts = sorted(runs.get("of", {}).items(), key=lambda part: -part[1])
    evidence = "PSS of " + ", ".join(f"{name} {size * _MIB:.2f} MiB" for name, size in parts)
    return Finding(
        probe="cost.memory",
        verdict=Verdict.MEASURED,
        value=f"{found.median:g} MiB",
        evidence=evidence,
        figure=found,
    )


GROUP = Group(
    name="cost",
    title="Cost of isolation",
    experiments=(Costs(),),
    probes=(
        Probe(
            id="cost.start",
            title="time until a pod's program runs",
            risk=Risk.NONE,
            why="bursts, scaling, jobs; the image is there already",
            judge=_start,
            on_host=False,
        ),
        Probe(
            id="cost.memory",
            title="memory of an idle pod",
            risk=Risk.NONE,
            why="how many fit on a machine: all processes that are there for the pod alone",
            judge=_memory,
            on_host=False,
        ),
        *(
            Probe(id=cost.id, title=cost.title, risk=Risk.LOW, why=cost.why, judge=cost.judge, on_host=False)
            for cost in COSTS
        ),
    ),
)
