"""A private Postgres cluster with the durability that Postgres has by default, and SQL on it through psql."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

USER = "bench"
SETTINGS = {
    "shared_buffers": "512MB",
    "max_connections": "300",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "track_io_timing": "off",
    "timezone": "UTC",
    "listen_addresses": "",
}
# What every commit reaching the disk rests on; the run ends if the server says otherwise.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
SHOWN = [*DURABLE, "server_version", "shared_buffers", "max_wal_size", "checkpoint_timeout", "wal_level",
         "wal_sync_method", "autovacuum", "jit", "max_connections"]


class Cluster:
    """Started by `with`, stopped and removed at its end."""

    def __init__(self):
        self.bin = find_binaries()
        self.identity = unprivileged()

    def __enter__(self):
        # Not /tmp, which may be in memory; short, since a socket's path is limited.
        self.home = Path(tempfile.mkdtemp(prefix="queue-bench-", dir="/var/tmp"))
        if self.identity:
            os.chown(self.home, self.identity.pw_uid, self.identity.pw_gid)
        self.run([self.bin / "initdb", "-D", self.home / "data", "-U", USER, "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync"], stdout=subprocess.DEVNULL)
        arguments = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self.log = open(self.home / "log", "wb")
        self.server = subprocess.Popen(
            [self.bin / "postgres", "-D", self.home / "data", "-k", self.home, *arguments],
            stdout=self.log, stderr=self.log, start_new_session=True, preexec_fn=end_with_parent, cwd="/",
            **self.drop())
        self.wait_until_ready()
        self.settings = self.assert_durable()
        return self

    def __exit__(self, *_):
        self.server.send_signal(signal.SIGINT)
        try:
            self.server.wait(30)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def drop(self):
        return {"user": self.identity.pw_uid, "group": self.identity.pw_gid, "extra_groups": []} if self.identity else {}

    def run(self, command, **options):
        subprocess.run(command, check=True, cwd="/", **self.drop(), **options)

    def wait_until_ready(self):
        deadline = time.monotonic() + 60
        while subprocess.run([self.bin / "pg_isready", "-q", "-h", self.home], check=False).returncode != 0:
            if time.monotonic() > deadline or self.server.poll() is not None:
                raise SystemExit(f"the server did not start:\n{(self.home / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def assert_durable(self):
        with self.sql("postgres") as sql:
            settings = {name: sql.value(f"show {name}") for name in SHOWN}
        wrong = {name: settings[name] for name, value in DURABLE.items() if settings[name] != value}
        if wrong:
            raise SystemExit(f"the server is not durable: {wrong}")
        return settings

    def url(self, database):
        return f"postgres://{USER}@localhost/{database}?host={self.home}"

    def sql(self, database):
        return Sql(self, database)


class Sql:
    """One session, kept open in a psql of its own."""

    END = "--end--"

    def __init__(self, cluster, database):
        self.psql = subprocess.Popen(
            [cluster.bin / "psql", "-XAtq", "-F", "\t", "-h", cluster.home, "-U", USER, "-d", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1, cwd="/")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.psql.stdin.close()
        self.psql.wait()

    def rows(self, statement):
        self.psql.stdin.write(f"{statement};\n\\echo {self.END} :ERROR :LAST_ERROR_MESSAGE\n")
        self.psql.stdin.flush()
        rows = []
        while not (line := self.psql.stdout.readline().rstrip("\n")).startswith(self.END):
            if self.psql.poll() is not None:
                raise RuntimeError(f"psql ended in {statement}: {rows}")
            rows.append(line.split("\t"))
        failed, _, message = line.removeprefix(self.END).strip().partition(" ")
        if failed == "true":
            raise RuntimeError(f"{message} in {statement}")
        return rows

    def value(self, statement):
        return self.rows(statement)[0][0]


def find_binaries():
    candidates = [Path(os.environ["PG_BIN_DIR"])] if "PG_BIN_DIR" in os.environ else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)
    candidates += sorted(Path("/opt/homebrew/opt").glob("postgresql*/bin"), key=version, reverse=True)
    if found := shutil.which("initdb"):
        candidates.append(Path(found).resolve().parent)
    for directory in candidates:
        if all((directory / name).exists() for name in ("initdb", "postgres", "psql", "pg_isready")):
            return directory
    raise SystemExit("no Postgres server binaries were found: install them, or say where they are with PG_BIN_DIR")


def version(directory):
    digits = "".join(letter for letter in directory.parent.name if letter.isdigit() or letter == ".")
    return [int(part) for part in digits.split(".") if part]


def unprivileged():
    """Postgres does not run as root; whom to run it as then."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise SystemExit("we are root, and there is no user postgres or nobody to run the server as")


def end_with_parent():
    """However we end, the child ends too. Linux only; elsewhere an ordinary child."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGINT)
