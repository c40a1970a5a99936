// The protocol of src/main.rs, for the peers that run on Node: see there.

import { createInterface } from "node:readline";
import { performance } from "node:perf_hooks";

export const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

export function say(event) {
  process.stdout.write(JSON.stringify(event) + "\n");
}

function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Counts the handlers' runs; those after the limit never return. */
export class Tally {
  constructor(limit, record) {
    this.ran = 0;
    this.limit = limit;
    this.starts = record ? [] : null;
  }

  /** False: this one must not end. */
  begin(number) {
    if (this.ran >= this.limit) return false;
    this.ran += 1;
    if (this.starts) this.starts.push([number, now()]);
    if (this.ran === 1) say({ event: "first", at: now(), cpu: cpu() });
    if (this.ran === this.limit) say({ event: "reached", at: now() });
    return true;
  }

  handle(number) {
    if (!this.begin(number)) return new Promise(() => {});
  }

  report(event) {
    say({ event, at: now(), cpu: cpu(), ran: this.ran, starts: this.starts });
  }
}

/** Answers the driver until it wants the worker to stop. */
export async function untilStopped(tally) {
  say({ event: "started", at: now() });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line !== "report") break;
    tally.report("report");
  }
  tally.report("ended");
}

async function oneByOne(peer, seconds, clients) {
  // A connection a client, opened before the clock runs.
  await Promise.all(Array.from({ length: clients }, () => peer.one(0)));
  const started = performance.now();
  const counts = await Promise.all(
    Array.from({ length: clients }, async () => {
      let jobs = 0;
      while (performance.now() - started < seconds * 1000) {
        await peer.one(jobs);
        jobs += 1;
      }
      return jobs;
    }),
  );
  const jobs = counts.reduce((sum, count) => sum + count, 0);
  say({ event: "enqueued", at: now(), jobs, seconds: (performance.now() - started) / 1000 });
}

async function bulk(peer, calls, size) {
  const started = performance.now();
  for (let call = 0; call < calls; call += 1) {
    await peer.many(Array.from({ length: size }, (_, index) => call * size + index));
  }
  say({ event: "enqueued", at: now(), jobs: calls * size, seconds: (performance.now() - started) / 1000 });
}

async function paced(peer, count, millis) {
  const commits = [];
  const started = performance.now();
  for (let number = 0; number < count; number += 1) {
    const wait = started + number * millis - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    await peer.one(number);
    commits.push([number, now()]);
  }
  say({ event: "enqueued", at: now(), commits });
}

/** Runs a peer: { setup, open(connections), one(number), many(numbers), work(tally, slots, variant), close }. */
export async function main(peer) {
  const [verb, ...rest] = process.argv.slice(2);
  const numbers = rest.map(Number);
  if (verb === "work") {
    const [variant, slots, limit] = [rest[0], numbers[1], numbers[2]];
    const tally = new Tally(limit, rest.includes("--record"));
    await peer.work(tally, slots, variant);
    await untilStopped(tally);
    // What the driver held back never ends by itself.
    process.exit(0);
  }
  await peer.open(verb === "enqueue" ? numbers[1] : 2);
  if (verb === "setup") await peer.setup();
  else if (verb === "enqueue") await oneByOne(peer, numbers[0], numbers[1]);
  else if (verb === "bulk") await bulk(peer, numbers[0], numbers[1]);
  else if (verb === "paced") await paced(peer, numbers[0], numbers[1]);
  else throw new Error(`unknown verb ${verb}`);
  await peer.close();
}
