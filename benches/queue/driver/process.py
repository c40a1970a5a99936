"""A peer's process, its events, and what the server has used."""

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from . import peers

PATIENCE = 60


def now():
    """In microseconds since 1970, as the peers tell it."""
    return time.time_ns() // 1000


class PeerFailed(Exception):
    """A peer did not do what it was asked to."""


def command(peer, cluster, *arguments, patience=600):
    """Runs one verb to its end and returns its last event."""
    ended = subprocess.run(
        [*peer.program, *map(str, arguments)], env=peers.environment(peer, cluster), capture_output=True, text=True,
        timeout=patience, check=False)
    if ended.returncode != 0:
        raise PeerFailed(f"{peer.name} {arguments}: {ended.stderr[-2000:]}")
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    return events[-1] if events else None


class Worker:
    """`work` (or another verb that runs until it is stopped), by `with`."""

    def __init__(self, peer, cluster, *arguments):
        self.peer = peer
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*peer.program, *map(str, arguments)], env=peers.environment(peer, cluster), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.errors, text=True, bufsize=1)
        self.events = queue.SimpleQueue()
        threading.Thread(target=self.listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.errors.close()

    def listen(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.events.put(json.loads(line))
        self.events.put(None)

    def expect(self, name, patience=PATIENCE):
        """The next event of that name. `None` when it did not come in time."""
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = self.events.get(timeout=left)
            except queue.Empty:
                break
            if event is None:
                self.errors.seek(0)
                raise PeerFailed(f"{self.peer.name} ended: {self.errors.read()[-2000:]}")
            if event["event"] == name:
                return event
        return None

    def report(self):
        self.tell("report")
        return self.must("report")

    def stop(self):
        """Its last report."""
        self.tell("stop")
        last = self.must("ended")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return last

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def must(self, name):
        event = self.expect(name)
        if event is None:
            raise PeerFailed(f"{self.peer.name} did not say {name}")
        return event


@dataclass
class Usage:
    """What the server had used at one moment."""

    wal: int
    transactions: int
    cpu: dict

    @classmethod
    def now(cls, cluster, sql):
        wal, transactions = sql.rows(
            "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint, pg_snapshot_xmax(pg_current_snapshot())")[0]
        return cls(int(wal), int(transactions), server_cpu(cluster.server.pid))

    def since(self, earlier):
        """WAL bytes, write transactions, CPU seconds of the server's processes."""
        # Those that ended since are in what the postmaster has waited for.
        ended = sum(seconds for pid, seconds in earlier.cpu.items() if pid not in self.cpu and pid != "ended")
        cpu = sum(seconds - earlier.cpu.get(pid, 0) for pid, seconds in self.cpu.items()) - ended
        return {"wal": self.wal - earlier.wal, "transactions": self.transactions - earlier.transactions, "cpu": max(cpu, 0)}


def server_cpu(postmaster):
    """CPU seconds of each server process, and of those that ended. Empty where there is no /proc."""
    tick, used = os.sysconf("SC_CLK_TCK"), {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if pid == postmaster:
            used["ended"] = (int(rest[13]) + int(rest[14])) / tick
        if pid == postmaster or int(rest[1]) == postmaster:
            try:
                nanos = int((stat.parent / "schedstat").read_text().split()[0])
                used[pid] = nanos / 1e9
            except (OSError, ValueError, IndexError):
                used[pid] = (int(rest[11]) + int(rest[12])) / tick
    return used
