// graphile-worker with a local queue of 500 and batched completes.

import { makeWorkerUtils, run, Logger } from "graphile-worker";

import { main } from "./protocol.mjs";

const connectionString = process.env.DATABASE_URL;
// As a service that logs warnings and errors only.
const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});
let utils;

await main({
  async open(connections) {
    utils = await makeWorkerUtils({ connectionString, maxPoolSize: connections, logger });
  },
  setup: () => utils.migrate(),
  one: (number) => utils.addJob("noop", { number }),
  many: (numbers) => utils.addJobs(numbers.map((number) => ({ identifier: "noop", payload: { number } }))),
  close: () => utils.release(),
  work(tally, slots) {
    return run({
      preset: {
        worker: {
          connectionString,
          concurrentJobs: slots,
          maxPoolSize: Math.max(10, slots + 2),
          localQueue: { size: 500 },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
          logger,
        },
      },
      noHandleSignals: true,
      taskList: { noop: ({ number }) => tally.handle(number) },
    });
  },
});
