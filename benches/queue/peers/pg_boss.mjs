// pg-boss with notifications and batches of 500, whatever the number of slots: a handler is given a whole batch.

import { PgBoss } from "pg-boss";

import { main } from "./protocol.mjs";

const connectionString = process.env.DATABASE_URL;
const QUEUE = "noop";
let boss;

async function open(max) {
  boss = new PgBoss({ connectionString, max, useListenNotify: true });
  boss.on("error", console.error);
  await boss.start();
}

await main({
  open,
  setup: () => boss.createQueue(QUEUE, { notify: true }),
  one: (number) => boss.send(QUEUE, { number }),
  many: (numbers) => boss.insert(QUEUE, numbers.map((number) => ({ data: { number } }))),
  close: () => boss.stop({ graceful: false }),
  async work(tally, slots) {
    await open(Math.max(10, slots + 2));
    const options = { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
    await boss.work(QUEUE, options, async (jobs) => {
      for (const job of jobs) await tally.handle(job.data.number);
    });
  },
});
