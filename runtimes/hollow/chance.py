"""What happens by chance in the hollow runtime: the same seed and the same pods have the same fates, in any order of events."""

import hashlib
import math
from statistics import NormalDist

_STANDARD = NormalDist()
_LONGEST = 10.0  # times the median: one pod that takes for ever would be another experiment


class Chance:
    """Draws that depend on nothing but the seed and what they are for: nothing is remembered between them."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def share(self, *what: object) -> float:
        """Evenly spread over [0, 1)."""
        text = "\0".join([self._seed, *map(str, what)])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest()) / (1 << 56)

    def seconds(self, median: float, spread: float, *what: object) -> float:
        """How long it takes: log-normal around `median`, `spread` its sigma; 0: always the median."""
        if median <= 0 or spread <= 0:
            return max(0.0, median)
        drawn = math.exp(spread * _STANDARD.inv_cdf(max(self.share("seconds", *what), 1e-9)))
        return median * min(drawn, _LONGEST)
