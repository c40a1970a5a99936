"""Procrastinate with notifications, on psycopg's binary build. The protocol is that of src/main.rs: see there."""

import asyncio
import json
import os
import sys
import time

from procrastinate import App, PsycopgConnector

QUEUE = "noop"


def now():
    return time.time_ns() // 1000


def say(**event):
    print(json.dumps(event), flush=True)


class Tally:
    """Counts the handlers' runs; those after the limit never return."""

    def __init__(self, limit, record):
        self.ran, self.limit, self.starts = 0, limit, [] if record else None

    async def handle(self, number):
        if self.ran >= self.limit:
            await asyncio.Event().wait()
        self.ran += 1
        if self.starts is not None:
            self.starts.append([number, now()])
        if self.ran == 1:
            say(event="first", at=now(), cpu=time.process_time())
        if self.ran == self.limit:
            say(event="reached", at=now())

    def report(self, event):
        say(event=event, at=now(), cpu=time.process_time(), ran=self.ran, starts=self.starts)


def make_app(connections, tally=None):
    app = App(connector=PsycopgConnector(
        conninfo=os.environ["DATABASE_URL"], min_size=connections, max_size=connections))

    @app.task(name="noop", queue=QUEUE)
    async def noop(number):
        await tally.handle(number)

    return app, noop


async def work(slots, limit, record):
    tally = Tally(limit, record)
    app, _ = make_app(max(10, slots + 2), tally)
    async with app.open_async():
        worker = asyncio.create_task(app.run_worker_async(
            queues=[QUEUE], concurrency=slots, listen_notify=True, install_signal_handlers=False))
        say(event="started", at=now())
        loop = asyncio.get_running_loop()
        while (await loop.run_in_executor(None, sys.stdin.readline)).strip() == "report":
            tally.report("report")
        tally.report("ended")
        worker.cancel()
        # What the driver held back never ends by itself.
        os._exit(0)


async def one_by_one(task, seconds, clients):
    await asyncio.gather(*(task.defer_async(number=0) for _ in range(clients)))
    started = time.perf_counter()

    async def client():
        jobs = 0
        while time.perf_counter() - started < seconds:
            await task.defer_async(number=jobs)
            jobs += 1
        return jobs

    jobs = sum(await asyncio.gather(*(client() for _ in range(clients))))
    say(event="enqueued", at=now(), jobs=jobs, seconds=time.perf_counter() - started)


async def bulk(task, calls, size):
    started = time.perf_counter()
    for call in range(calls):
        await task.batch_defer_async(*({"number": call * size + index} for index in range(size)))
    say(event="enqueued", at=now(), jobs=calls * size, seconds=time.perf_counter() - started)


async def paced(task, count, pace):
    commits, started = [], time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0, started + number * pace - time.perf_counter()))
        await task.defer_async(number=number)
        commits.append([number, now()])
    say(event="enqueued", at=now(), commits=commits)


async def main(verb, *rest):
    if verb == "work":
        return await work(int(rest[1]), int(rest[2]), "--record" in rest)
    app, task = make_app(int(rest[1]) if verb == "enqueue" else 2)
    async with app.open_async():
        if verb == "setup":
            await app.schema_manager.apply_schema_async()
        elif verb == "enqueue":
            await one_by_one(task, float(rest[0]), int(rest[1]))
        elif verb == "bulk":
            await bulk(task, int(rest[0]), int(rest[1]))
        elif verb == "paced":
            await paced(task, int(rest[0]), int(rest[1]) / 1000)
        else:
            raise SystemExit(f"unknown verb {verb}")


asyncio.run(main(*sys.argv[1:]))
