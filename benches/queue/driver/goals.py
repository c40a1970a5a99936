"""The goals that this run is held against (`docs/performance.md` says what they mean), and how far they are met."""

from .measure import percentile
from .peers import DRAINS

STRICT, PREFETCH = "ours, strict", "ours, prefetching"
NAMES = {
    "drain10": "drain, 10 slots", "drain50": "drain, 50 slots", "backlog": "drain, 500k pending",
    "big": "drain, 1M ready + 1M done + 1M scheduled", "enqueue": "enqueue, no worker",
    "enqueue_sleeping": "enqueue, sleeping worker", "enqueue_busy": "enqueue, busy worker", "bulk": "bulk enqueue",
    "burst": "burst", "pickup": "pickup",
}


class Goal:
    """`actual` is to be at least (or at most) `bound`."""

    def __init__(self, what, actual, bound, least=True, unit=""):
        self.what, self.actual, self.bound, self.least, self.unit = what, actual, bound, least, unit
        self.met = actual >= bound if least else actual <= bound

    def verdict(self):
        if self.met:
            return "met"
        if not self.bound:
            return "**missed**"
        return f"**missed by {abs(self.actual / self.bound - 1):.0%}**"


def goals(results):
    """All goals whose figures are in `results`, a `Results`."""
    found = []

    def add(what, actual, bound, factor=1.0, least=True, unit="/s"):
        if actual is not None and bound is not None:
            found.append(Goal(what, actual, bound * factor, least, unit))

    for row in DRAINS:
        best, who = results.best_peer(row)
        add(f"{NAMES[row]}: prefetching ahead of every peer ({who})", results.median(row, PREFETCH), best)
        add(f"{NAMES[row]}: prefetching at least 75 % of floor-max", results.median(row, PREFETCH),
            results.median(row, "floor-max"), 0.75)
        add(f"{NAMES[row]}: strict at least 85 % of floor-batch", results.median(row, STRICT),
            results.median(row, "floor-batch"), 0.85)
    add("the big tables cost prefetching at most 15 %", loss(results, PREFETCH), 15, least=False, unit="%")
    floor = loss(results, "floor-batch")
    add("the big tables cost strict at most 5 points more than its floor", loss(results, STRICT),
        None if floor is None else max(floor, 0) + 5, least=False, unit="%")
    add("bulk enqueue", results.median("bulk", STRICT), 150_000)
    add("single enqueue, no worker", results.median("enqueue", STRICT), 8_000)
    for row in ("enqueue", "enqueue_sleeping", "enqueue_busy"):
        best, who = results.best_peer(row)
        for ours in (STRICT, PREFETCH):
            add(f"{NAMES[row]} ({ours}): ahead of every peer ({who})", results.median(row, ours), best)
    for ours in (STRICT, PREFETCH):
        if waits := results.waits(ours):
            add(f"pickup p50 ({ours})", percentile(waits, 50), 1.2, least=False, unit="ms")
            add(f"pickup p99 ({ours})", percentile(waits, 99), 2.5, least=False, unit="ms")
            add(f"an idle worker burns no CPU ({ours})", results.extra("pickup", ours, "worker_idle") * 100, 1, least=False, unit="%")
    return found


def loss(results, peer):
    """Percent of the rate that is lost on big tables."""
    small, big = results.median("drain50", peer), results.median("big", peer)
    return None if small is None or big is None else (1 - big / small) * 100
