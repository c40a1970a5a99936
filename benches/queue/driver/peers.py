"""Who takes part, in which configuration, and what of their tables the driver must know."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
NODE = "24.9.0"
NODE_NEEDED = (22, 18)

# The rows of the benchmark, in the order in which they are run.
ROWS = ["enqueue", "enqueue_sleeping", "enqueue_busy", "bulk", "drain10", "drain50", "burst", "pickup", "backlog", "big"]
DRAINS = ["drain10", "drain50", "backlog", "big"]


@dataclass(eq=False)
class Family:
    """One set of tables."""

    name: str
    # Emptied before each measure.
    tables: str
    # How many jobs are not finished.
    unfinished: str
    # Gives back what a stopped worker held.
    release: str
    # A million finished and a million scheduled jobs.
    done: str = ""
    scheduled: str = ""

    @property
    def database(self):
        return f"bench_{self.name}"


@dataclass(eq=False)
class Peer:
    name: str
    family: Family
    program: list
    variant: str
    rows: list
    configuration: str
    history: bool = True
    # Whose figure is a limit, not a competitor's.
    kind: str = "peer"
    environment: dict = field(default_factory=dict)


def series(count):
    return f"generate_series(1, {count}) as number"


FINISHED = "now() - interval '1 day'"
LATER = "now() + interval '1 day' + number * interval '1 ms'"
OURS = Family(
    "ours", "jobs, job_attempts, queue_sleepers",
    "select count(*) from jobs where state in ('ready', 'running')",
    "select 1",  # A stopped worker of ours has done that itself.
    f"""insert into jobs (kind, version, queue, priority, state, run_at, created_at, claimed_at, finished_at, attempt,
            claim_id, worker, payload)
        select 'probe', 1, 'upkeep', 0, 'done', {FINISHED}, {FINISHED}, {FINISHED}, {FINISHED}, 1,
            gen_random_uuid(), 'earlier', jsonb_build_object('says', number::text, 'key', null) from {{series}}""",
    f"""insert into jobs (kind, version, queue, priority, state, run_at, payload)
        select 'probe', 1, 'upkeep', 0, 'scheduled', {LATER},
            jsonb_build_object('says', number::text, 'key', null) from {{series}}""")
FLOOR = Family(
    "floor", "floor_jobs",
    "select count(*) from floor_jobs where state in (0, 1)",
    "update floor_jobs set state = 0, attempt = 0 where state = 1",
    f"""insert into floor_jobs (state, run_at, created_at, claimed_at, finished_at, attempt, worker, payload)
        select 2, {FINISHED}, {FINISHED}, {FINISHED}, {FINISHED}, 1, 'earlier',
            jsonb_build_object('number', number) from {{series}}""",
    f"insert into floor_jobs (state, run_at, payload) select 3, {LATER}, jsonb_build_object('number', number) from {{series}}")
APALIS = Family(
    "apalis", "apalis.jobs",
    "select count(*) from apalis.jobs where status in ('Pending', 'Queued', 'Running')",
    "update apalis.jobs set status = 'Pending', lock_by = null, lock_at = null, attempts = 0 where status in ('Queued', 'Running')",
    f"""insert into apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority)
        select 'done-' || number, 'bench', convert_to(number::text, 'UTF8'), 'Done', 1, 25, {FINISHED}, {FINISHED}, 0 from {{series}}""",
    f"""insert into apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
        select 'later-' || number, 'bench', convert_to(number::text, 'UTF8'), 'Pending', 0, 25, {LATER}, 0 from {{series}}""")
GRAPHILE_SCHEDULED = f"""insert into graphile_worker._private_jobs (task_id, payload, run_at)
    select task.id, json_build_object('number', number), {LATER}
      from {{series}}, graphile_worker._private_tasks task where task.identifier = 'noop'"""
GRAPHILE_UNFINISHED = "select count(*) from graphile_worker._private_jobs where run_at <= now()"
GRAPHILE_RELEASE = """update graphile_worker._private_jobs set locked_at = null, locked_by = null, attempts = 0
    where locked_at is not null"""
GRAPHILE_RS = Family("graphile_rs", "graphile_worker._private_jobs", GRAPHILE_UNFINISHED, GRAPHILE_RELEASE,
                     scheduled=GRAPHILE_SCHEDULED)
GRAPHILE_JS = Family("graphile_js", "graphile_worker._private_jobs", GRAPHILE_UNFINISHED, GRAPHILE_RELEASE,
                     scheduled=GRAPHILE_SCHEDULED)
PG_BOSS = Family(
    "pg_boss", "pgboss.job",
    "select count(*) from pgboss.job where name = 'noop' and state in ('created', 'retry', 'active') and start_after <= now()",
    "update pgboss.job set state = 'created', started_on = null where state = 'active'",
    f"""insert into pgboss.job (name, data, state, policy, start_after, created_on, started_on, completed_on)
        select 'noop', jsonb_build_object('number', number), 'completed', 'standard', {FINISHED}, {FINISHED}, {FINISHED},
            {FINISHED} from {{series}}""",
    f"""insert into pgboss.job (name, data, state, policy, start_after)
        select 'noop', jsonb_build_object('number', number), 'created', 'standard', {LATER} from {{series}}""")
PROCRASTINATE = Family(
    "procrastinate", "procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers",
    "select count(*) from procrastinate_jobs where status in ('todo', 'doing')",
    "update procrastinate_jobs set status = 'todo', worker_id = null where status = 'doing'")
NOWHERE = Family("nowhere", "", "select 0", "select 1")


def all_peers(binary, work):
    """Everyone who can take part here; the others are named on standard error, with the reason."""
    rust = [str(binary)]
    # A producer does not know what the worker is like; a sleeping or busy one may differ.
    without_single = [row for row in ROWS if row not in ("enqueue", "bulk")]
    without_enqueue = [row for row in ROWS if not row.startswith("enqueue") and row != "bulk"]
    peers = [
        Peer("ours, strict", OURS, [*rust, "ours"], "strict", ROWS,
             "shipped worker, one queue, C slots; claims what is free, an outcome is durable before its slot is free", kind="ours"),
        Peer("ours, prefetching", OURS, [*rust, "ours"], "prefetch", without_single,
             "the same with `queue.prefetch` 1000: claims up to 1,000 jobs beyond its slots, acks overlap with claims", kind="ours"),
        Peer("apalis-notify", APALIS, [*rust, "apalis"], "notify", ROWS,
             "apalis 1.0.0, apalis-postgres 1.0.0: with_pubsub(), batch_size 500 (default 10), lock_tasks(false), concurrency C, pool 10"),
        Peer("apalis-poll", APALIS, [*rust, "apalis"], "poll", without_enqueue,
             "the same, polling every 100 ms"),
        Peer("graphile_worker (Rust)", GRAPHILE_RS, [*rust, "graphile-rs"], "fast", ROWS,
             "0.14.1 on sqlx: local queue 500, complete and fail batch delay 5 ms, concurrency C, pool max(10, C+2)", history=False),
        *node_peers(work), *python_peers(work),
        Peer("floor-batch", FLOOR, [*rust, "floor"], "batch", [row for row in ROWS if row not in ("enqueue_sleeping", "enqueue_busy", "pickup")],
             "strict in plain SQL: claim at most C, ack at most C, two statements", kind="floor"),
        Peer("floor-notify", FLOOR, [*rust, "floor"], "batch", ["enqueue", "pickup"],
             "single insert with pg_notify in the same statement", kind="floor", environment={"FLOOR_NOTIFY": "1"}),
        Peer("floor-fused", FLOOR, [*rust, "floor"], "fused", [*DRAINS, "burst"],
             "one statement acks a batch of 500 and claims the next", kind="floor"),
        Peer("floor-max", FLOOR, [*rust, "floor"], "max", [*DRAINS, "burst"],
             "two overlapping loops of 500", kind="floor"),
        Peer("apalis's ceiling", NOWHERE, [*rust, "ceiling"], "memory", ["drain10"],
             "apalis's worker over jobs in memory, a task a job: no database", kind="floor"),
    ]
    return peers


def node_peers(work):
    node = install_node(work)
    if not node:
        return []
    here = work / "node"
    return [
        Peer("graphile-worker (Node)", GRAPHILE_JS, [node, str(here / "graphile_worker.mjs")], "fast", ROWS,
             "0.18.0: localQueue.size 500, completeJobBatchDelay 0, failJobBatchDelay 0, concurrentJobs C, maxPoolSize max(10, C+2)",
             history=False),
        Peer("pg-boss", PG_BOSS, [node, str(here / "pg_boss.mjs")], "fast", ROWS,
             "12.35.0: notify, localConcurrency 4, batchSize 500 whatever C (a handler gets a batch), burstWhenBatchFull, "
             "pollingIntervalSeconds 0.5, max(10, C+2) connections"),
    ]


def install_node(work):
    """The Node peers at pinned versions. Returns the Node that runs them, `None` without one."""
    if not (shutil.which("node") and shutil.which("npm")):
        return skip("graphile-worker and pg-boss", "they need node and npm")
    here = work / "node"
    here.mkdir(parents=True, exist_ok=True)
    for source in (HERE / "peers").iterdir():
        if source.suffix in (".mjs", ".json"):
            shutil.copy(source, here)
    npm = ["npm", "--prefix", str(here), "--no-audit", "--no-fund", "--loglevel", "error"]
    stamp = here / "installed"
    lock = (here / "package-lock.json").read_text()
    runtime = own_node(here)
    if not stamp.exists() or stamp.read_text() != lock or (runtime and not runtime.exists()):
        print("installing the Node peers …", file=sys.stderr)
        try:
            subprocess.run([*npm, "ci"], cwd=here, check=True, stdout=sys.stderr)
            if runtime:
                subprocess.run([*npm, "install", "--no-save", "--no-package-lock", f"{runtime.parent.parent.name}@{NODE}"],
                               cwd=here, check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError as error:
            return skip("graphile-worker and pg-boss", f"npm failed: {error}")
        stamp.write_text(lock)
    return str(runtime or shutil.which("node"))


def own_node(here):
    """Both need a newer Node than many systems have: then the one that npm has, at a pinned version."""
    text = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
    if tuple(int(part) for part in text.strip().lstrip("v").split(".")[:2]) >= NODE_NEEDED:
        return None
    system = {"Linux": "linux", "Darwin": "darwin"}[platform.system()]
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    return here / "node_modules" / f"node-{system}-{machine}" / "bin" / "node"


def python_peers(work):
    python = work / "python" / "bin" / "python"
    requirements = HERE / "peers" / "requirements.txt"
    stamp = work / "python" / "installed"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print("installing procrastinate …", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(work / "python")], check=True, stdout=sys.stderr)
            subprocess.run([str(python), "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-deps", "-r",
                            str(requirements)], check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError as error:
            return skip("procrastinate", f"pip failed: {error}") or []
        stamp.write_text(requirements.read_text())
    return [Peer(
        "procrastinate", PROCRASTINATE, [str(python), str(HERE / "peers" / "procrastinate_peer.py")], "fast",
        [row for row in ROWS if row != "big"],
        "3.10.0, psycopg 3.3.9 binary: run_worker_async(concurrency=C, listen_notify=True), pool max(10, C+2)")]


def skip(who, why):
    print(f"without {who}: {why}", file=sys.stderr)


def build(release_options):
    """The Rust peers, in release mode as the product ships."""
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics", *release_options]
    output = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout
    artifacts = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    return Path(next(each["executable"] for each in artifacts
                     if each["reason"] == "compiler-artifact" and each["target"]["name"] == "queue-bench"
                     and each["executable"]))


def environment(peer, cluster):
    return {**os.environ, **peer.environment, "DATABASE_URL": cluster.url(peer.family.database)}
