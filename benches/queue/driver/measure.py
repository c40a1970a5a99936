"""How each row is measured; the same for everyone.

A drain is counted from the first handler's start to the commit of the last ack. Handlers after the limit never return,
so exactly that many jobs are done; that the last ack is committed is seen by the server's transactions: none is open
and none begins any more.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from .process import PeerFailed, Usage, Worker, command

CLIENTS = 8
UNLIMITED = 2**53 - 1
# A worker that found nothing has fallen asleep by then, and has done what it does at a start.
SETTLE = 2.0
QUIET = 0.15
PACE_MS = 50


class Bench:
    """What the rows share."""

    def __init__(self, cluster, options):
        self.cluster = cluster
        self.options = options
        self.backlogs = set()
        self.sessions = {}

    def sql(self, family):
        if family.name not in self.sessions:
            self.sessions[family.name] = self.cluster.sql(family.database)
        return self.sessions[family.name]

    def create(self, peer):
        """The peer's database and schema."""
        with self.cluster.sql("postgres") as sql:
            if sql.rows(f"select 1 from pg_database where datname = '{peer.family.database}'"):
                return
            sql.rows(f"create database {peer.family.database}")
        command(peer, self.cluster, "setup")

    def empty(self, peer):
        sql = self.sql(peer.family)
        sql.rows(f"truncate {peer.family.tables} cascade")
        self.tidy(peer)

    def tidy(self, peer):
        """Statistics of what is there, and no dirty page of somebody else's."""
        sql = self.sql(peer.family)
        sql.rows("vacuum analyze")
        sql.rows("checkpoint")

    def load(self, peer, jobs):
        size = min(jobs, 20_000)
        command(peer, self.cluster, "bulk", jobs // size, size)

    def measure(self, row, peer):
        """One figure: a dictionary with `value`, and what else was seen."""
        if peer.family.name == "nowhere":
            return self.ceiling(peer)
        return getattr(self, row)(peer)

    # Enqueuing

    def enqueue(self, peer):
        self.empty(peer)
        return self.one_by_one(peer)

    def enqueue_sleeping(self, peer):
        self.empty(peer)
        with Worker(peer, self.cluster, "work", peer.variant, 10, UNLIMITED) as worker:
            worker.must("started")
            time.sleep(SETTLE)
            result = self.one_by_one(peer)
            worker.stop()
        return result

    def enqueue_busy(self, peer):
        self.empty(peer)
        # More than any of them prefetches, so that nobody looks for more.
        self.load(peer, 5_000)
        with Worker(peer, self.cluster, "work", peer.variant, 10, 1) as worker:
            worker.must("reached")
            time.sleep(SETTLE)
            result = self.one_by_one(peer)
            worker.stop()
        return result

    def one_by_one(self, peer):
        before = Usage.now(self.cluster, self.sql(peer.family))
        event = command(peer, self.cluster, "enqueue", self.options.enqueue_seconds, CLIENTS)
        used = Usage.now(self.cluster, self.sql(peer.family)).since(before)
        return {"value": event["jobs"] / event["seconds"], "jobs": event["jobs"], **used}

    def bulk(self, peer):
        self.empty(peer)
        event = command(peer, self.cluster, "bulk", self.options.bulk_calls, 20_000)
        return {"value": event["jobs"] / event["seconds"], "jobs": event["jobs"]}

    # Draining

    def drain10(self, peer):
        return self.drain_fresh(peer, 10)

    def drain50(self, peer):
        return self.drain_fresh(peer, 50)

    def drain_fresh(self, peer, slots):
        self.empty(peer)
        self.load(peer, self.options.jobs)
        self.tidy(peer)
        return self.drain(peer, slots)

    def backlog(self, peer):
        """Of many pending jobs the first ones. They are loaded once; each measure takes its part."""
        if peer.family.name not in self.backlogs:
            self.empty(peer)
            self.load(peer, self.options.backlog)
            self.backlogs.add(peer.family.name)
        self.tidy(peer)
        return self.drain(peer, 50)

    def big(self, peer):
        key = peer.family.name + " big"
        if key not in self.backlogs:
            size, sql = self.options.big, self.sql(peer.family)
            ready = int(sql.value(peer.family.unfinished))
            if ready < size:
                step = 20_000
                self.load(peer, -(-(size - ready) // step) * step)
            for fill in filter(None, (peer.family.done, peer.family.scheduled)):
                sql.rows(fill.format(series=f"generate_series(1, {size}) as number"))
            self.backlogs.add(key)
        self.tidy(peer)
        return self.drain(peer, 50)

    def drain(self, peer, slots):
        sql, jobs = self.sql(peer.family), self.options.jobs
        pending = int(sql.value(peer.family.unfinished))
        before = Usage.now(self.cluster, sql)
        with Worker(peer, self.cluster, "work", peer.variant, slots, jobs) as worker:
            first = worker.must("first")
            # Without what the start itself has cost.
            before.cpu = Usage.now(self.cluster, sql).cpu
            cut = worker.expect("reached", self.options.window) is None
            if not cut:
                end = self.quiet(sql)
                done = pending - int(sql.value(peer.family.unfinished))
                if not jobs * 0.98 <= done <= jobs * 1.1:
                    raise PeerFailed(f"{peer.name}: {done} jobs are done of {jobs} that ran")
                report = worker.report()
            else:
                report = worker.report()
                done, end = report["ran"], report["at"]
            used = Usage.now(self.cluster, sql).since(before)
            worker.stop()
        sql.rows(peer.family.release)
        seconds = (end - first["at"]) / 1e6
        return {"value": done / seconds, "jobs": done, "seconds": seconds, "cut": cut,
                "worker_cpu": report["cpu"] - first["cpu"], **used}

    def quiet(self, sql):
        """When the last writing transaction ended, in microseconds since 1970."""
        state, changed = None, time.time()
        deadline = time.monotonic() + 10
        while time.time() - changed < QUIET and time.monotonic() < deadline:
            now = sql.value("select pg_current_snapshot()")
            if now != state:
                state, changed = now, time.time()
            time.sleep(0.002)
        return int(changed * 1e6)

    def burst(self, peer):
        """Jobs appear in an empty, analysed queue while the worker waits: from the first start to the last ack."""
        self.empty(peer)
        sql, jobs = self.sql(peer.family), self.options.jobs
        with Worker(peer, self.cluster, "work", peer.variant, 50, jobs) as worker, ThreadPoolExecutor(1) as aside:
            worker.must("started")
            time.sleep(SETTLE)
            loading = aside.submit(self.load, peer, jobs)
            first = worker.must("first")
            cut = worker.expect("reached", self.options.window) is None
            if not cut:
                done, end = jobs, self.quiet(sql)
            else:
                report = worker.report()
                done, end = report["ran"], report["at"]
            loading.result()
            worker.stop()
        return {"value": done / ((end - first["at"]) / 1e6), "jobs": done, "cut": cut}

    def ceiling(self, peer):
        with Worker(peer, self.cluster, "work", peer.variant, 10, self.options.jobs * 5) as worker:
            first, last = worker.must("first"), worker.must("reached")
            worker.stop()
        return {"value": self.options.jobs * 5 / ((last["at"] - first["at"]) / 1e6)}

    # Waiting

    def pickup(self, peer):
        """From the commit, as the client sees it, to the handler's start; and what an idle worker costs."""
        self.empty(peer)
        sql = self.sql(peer.family)
        with Worker(peer, self.cluster, "work", peer.variant, 10, UNLIMITED, "--record") as worker:
            worker.must("started")
            # Warm: the first job opens connections and prepares statements.
            command(peer, self.cluster, "paced", 10, PACE_MS)
            time.sleep(SETTLE)
            before, then = worker.report(), Usage.now(self.cluster, sql)
            time.sleep(self.options.idle_seconds)
            after, used = worker.report(), Usage.now(self.cluster, sql).since(then)
            commits = command(peer, self.cluster, "paced", self.options.paced, PACE_MS)["commits"]
            time.sleep(0.5)
            starts = worker.stop()["starts"][len(after["starts"]):]
        seconds = (after["at"] - before["at"]) / 1e6
        started = dict(starts)
        waits = sorted((started[number] - at) / 1000 for number, at in commits if number in started)
        if len(waits) < len(commits):
            raise PeerFailed(f"{peer.name}: {len(commits) - len(waits)} of {len(commits)} jobs were not picked up")
        return {"value": percentile(waits, 50), "waits": waits, "worker_idle": (after["cpu"] - before["cpu"]) / seconds,
                "server_idle": used["cpu"] / seconds}


def percentile(values, percent):
    """By nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
