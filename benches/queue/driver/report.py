"""What a run has found: medians, tables, JSON."""

import json
import statistics

from .goals import NAMES, goals
from .measure import percentile
from .peers import ROWS


class Results:
    """Figures by row and peer, in the order in which they were measured."""

    def __init__(self, peers, rows, facts):
        self.peers, self.facts = peers, facts
        self.rows = [row for row in ROWS if row in rows]
        self.figures = {row: {} for row in self.rows}
        self.failures = []

    def add(self, row, peer, figure):
        self.figures[row].setdefault(peer.name, []).append(figure)

    def fail(self, row, peer, why):
        self.failures.append({"row": row, "peer": peer.name, "why": str(why)})

    def values(self, row, peer):
        return [figure["value"] for figure in self.figures.get(row, {}).get(peer, [])]

    def median(self, row, peer):
        values = self.values(row, peer)
        return statistics.median(values) if values else None

    def extra(self, row, peer, name):
        values = [figure[name] for figure in self.figures.get(row, {}).get(peer, []) if name in figure]
        return statistics.median(values) if values else None

    def was_cut(self, row, peer):
        """It used a whole window up: measured long enough."""
        return any(figure.get("cut") for figure in self.figures[row].get(peer.name, []))

    def waits(self, peer):
        """Of all repetitions together."""
        return [wait for figure in self.figures.get("pickup", {}).get(peer, []) for wait in figure["waits"]]

    def best_peer(self, row):
        """The fastest competitor's median and its name."""
        rates = [(self.median(row, peer.name), peer.name) for peer in self.peers
                 if peer.kind == "peer" and self.median(row, peer.name) is not None]
        return max(rates, default=(None, None))

    def to_json(self):
        return json.dumps({
            "facts": self.facts,
            "peers": {peer.name: {"configuration": peer.configuration, "kind": peer.kind, "history": peer.history}
                      for peer in self.peers},
            "figures": self.figures,
            "failures": self.failures,
            "goals": [{"what": goal.what, "actual": goal.actual, "bound": goal.bound, "met": goal.met}
                      for goal in goals(self)],
        }, indent=1)

    def to_markdown(self):
        parts = [self.machine(), self.rates(), self.pickups(), self.costs(), self.verdicts(), self.configurations()]
        if self.failures:
            parts.append("Failed: " + "; ".join(
                f"{one['peer']} in {one['row']} ({one['why'].splitlines()[-1]})" for one in self.failures))
        return "\n\n".join(part for part in parts if part)

    def machine(self):
        facts = self.facts
        settings = ", ".join(f"`{name}={value}`" for name, value in facts["settings"].items())
        return (f"{facts['date']}, commit `{facts['commit']}`; {facts['cores']} cores ({facts['cpu']}), "
                f"{facts['memory_gb']} GB, {facts['system']}; load before the run {facts['load']}. {facts['versions']}. "
                f"Server: {settings}. {facts['jobs']:,} no-op jobs a drain, window {facts['window']} s, "
                f"{facts['repetitions']} repetitions by turns: median (min–max).")

    def rates(self):
        rows = [row for row in self.rows if row != "pickup"]
        return table(
            ["jobs/s", *[NAMES[row] for row in rows], "history kept"],
            [[peer.name, *[self.cell(row, peer.name) for row in rows], "yes" if peer.history else "no (deletes)"]
             for peer in self.peers if any(self.values(row, peer.name) for row in rows)])

    def cell(self, row, peer):
        values = self.values(row, peer)
        if not values:
            return "–"
        middle = f"{statistics.median(values):,.0f}"
        return middle if len(values) == 1 else f"{middle} ({min(values):,.0f}–{max(values):,.0f})"

    def pickups(self):
        lines = []
        for peer in self.peers:
            if waits := self.waits(peer.name):
                p50, p95, p99 = (f"{percentile(waits, percent):.2f}" for percent in (50, 95, 99))
                worker, server = (f"{self.extra('pickup', peer.name, name):.2%}" for name in ("worker_idle", "server_idle"))
                lines.append([peer.name, p50, p95, p99, f"{max(waits):.2f}", worker, server])
        return lines and table(["pickup, idle worker", "p50 ms", "p95 ms", "p99 ms", "max ms", "idle worker, of a core",
                                "idle server, of a core"], lines)

    def costs(self):
        lines = []
        for row in ("drain10", "drain50", "big"):
            for peer in self.peers:
                jobs = self.extra(row, peer.name, "jobs")
                if jobs and self.extra(row, peer.name, "worker_cpu") is not None:
                    each = {name: self.extra(row, peer.name, name) / jobs * 10_000
                            for name in ("cpu", "worker_cpu", "wal", "transactions")}
                    lines.append([NAMES[row], peer.name, f"{each['cpu']:.3f}", f"{each['worker_cpu']:.3f}",
                                  f"{each['wal'] / 1e6:.2f}", f"{each['transactions']:,.0f}"])
        return lines and table(["per 10,000 jobs", "", "server CPU s", "worker CPU s", "WAL MB", "write transactions"], lines)

    def verdicts(self):
        lines = [[goal.what, amount(goal.actual, goal.unit), ("≥ " if goal.least else "≤ ") + amount(goal.bound, goal.unit),
                  goal.verdict()] for goal in goals(self)]
        return lines and table(["goal", "measured", "to be", ""], lines)

    def configurations(self):
        return "\n".join(f"* **{peer.name}**: {peer.configuration}" for peer in self.peers)


def amount(value, unit):
    number = f"{value:,.0f}" if unit == "/s" else f"{value:.2f}"
    return number if unit == "/s" else f"{number} {unit}"


def table(head, lines):
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
