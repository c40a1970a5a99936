// Drives the FAL simulator with the unmodified official client for JavaScript.
//
// Needs FAL_SIMULATOR (base URL), ARCHIVE (a zip of at least ten photos) and BODIES (our requests for pictures). The client is pointed at the simulator
// by its own options: requestMiddleware, and proxyUrl in one check.

import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { ApiError, ValidationError, createFalClient } from "@fal-ai/client";

const base = process.env.FAL_SIMULATOR.replace(/\/$/, "");
const photos = await readFile(process.env.ARCHIVE);
const credentials = "javascript-check:secret";

const services = {
  "https://queue.fal.run": `${base}/queue`,
  "https://fal.run": `${base}/run`,
  "https://rest.fal.ai": `${base}/rest`,
};

function rewrite(request) {
  const { origin } = new URL(request.url);
  return { ...request, url: services[origin] + request.url.slice(origin.length) };
}

const fal = createFalClient({ credentials, requestMiddleware: async (request) => rewrite(request) });

const PORTRAIT = "fal-ai/flux-lora-portrait-trainer";
const PICTURE = "fal-ai/flux-lora";
const FINETUNED = "fal-ai/flux-pro/v1.1-ultra-finetuned";
const GENERATORS = [
  PICTURE,
  FINETUNED,
  "fal-ai/flux-2/lora",
  "fal-ai/z-image/turbo/lora",
  "fal-ai/qwen-image-2512/lora",
  "fal-ai/krea-2/turbo/lora",
];

const zip = (name = "photos.zip") => new File([photos], name, { type: "application/zip" });

/** The simulator's own control API. */
async function sim(path, body) {
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(`${base}/__sim/${path}`, init);
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

const lastSeq = async () => (await sim("ledger")).entries.at(-1)?.seq ?? 0;
const eventsSince = async (since, event, count = 0) =>
  (await sim(`ledger?since=${since}&event=${event}&count=${count}`)).entries;
const fetched = async (url) => Buffer.from(await (await fetch(url)).arrayBuffer());

async function failure(promise) {
  return promise.then(
    () => assert.fail("no error was raised"),
    (error) => error,
  );
}

/** A webhook receiver; `next()` gives its deliveries in order. */
async function receiver() {
  const deliveries = [];
  const waiting = [];
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      response.end();
      const delivery = { url: request.url, headers: request.headers, body: Buffer.concat(chunks) };
      const next = waiting.shift();
      if (next) next(delivery);
      else deliveries.push(delivery);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/hook?token=abc`,
    next: () => (deliveries.length ? deliveries.shift() : new Promise((resolve) => waiting.push(resolve))),
  };
}

/** FAL's documented verification; raw Ed25519 keys need a DER prefix to become Node's. */
async function verifies({ headers, body }) {
  const parts = ["request-id", "user-id", "timestamp"].map((name) => headers[`x-fal-webhook-${name}`]);
  if (parts.some((part) => !part) || Math.abs(Date.now() / 1000 - Number(parts[2])) > 300) return false;
  const message = Buffer.from([...parts, createHash("sha256").update(body).digest("hex")].join("\n"), "utf8");
  const signature = Buffer.from(headers["x-fal-webhook-signature"], "hex");
  const { keys } = await (await fetch(`${base}/rest/.well-known/jwks.json`)).json();
  return keys.some(({ x }) => {
    const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(x, "base64url")]);
    return verify(null, message, createPublicKey({ key: der, format: "der", type: "spki" }), signature);
  });
}

const checks = {
  async "a portrait training from upload to weights"() {
    const since = await lastSeq();
    const url = await fal.storage.upload(zip(), { lifecycle: { expiresIn: "7d" } });
    assert.deepEqual(await fetched(url), photos);
    const [initiated] = await eventsSince(since, "upload_initiated", 1);
    assert.equal(initiated.expires_in_seconds, 604800);

    const input = { images_data_url: url, trigger_phrase: "TOK_1234abcd", steps: 1000 };
    const { request_id: requestId, status } = await fal.queue.submit(PORTRAIT, { input });
    assert.equal(status, "IN_QUEUE");
    const done = await fal.queue.subscribeToStatus(PORTRAIT, { requestId, logs: true, pollInterval: 20 });
    assert.equal(done.status, "COMPLETED");
    assert.equal(done.logs.at(-1).message, "step 1000/1000");
    const result = await fal.queue.result(PORTRAIT, { requestId });
    assert.equal(result.requestId, requestId);
    const weights = await fetched(result.data.diffusers_lora_file.url);
    const header = JSON.parse(weights.subarray(8, 8 + Number(weights.readBigUInt64LE(0))));
    assert.ok(Object.keys(header).some((name) => name.endsWith("lora_A.weight")));
  },

  async "subscribe by polling, uploading the input's file by itself"() {
    const updates = [];
    const { data, requestId } = await fal.subscribe(PORTRAIT, {
      input: { images_data_url: zip() },
      logs: true,
      pollInterval: 20,
      onQueueUpdate: (update) => updates.push(update.status),
    });
    assert.ok(requestId && data.config_file.url);
    assert.equal(updates[0], "IN_QUEUE");
    assert.ok(updates.includes("IN_PROGRESS"));
    assert.equal(updates.at(-1), "COMPLETED");
  },

  async "subscribe by streaming"() {
    const lines = [];
    const { data } = await fal.subscribe(PICTURE, {
      input: { prompt: "p", num_images: 2 },
      mode: "streaming",
      logs: true,
      onQueueUpdate: (update) => lines.push(...(update.logs ?? []).map((line) => line.message).slice(lines.length)),
    });
    assert.equal(data.images.length, 2);
    assert.deepEqual(lines, [...new Set(lines)], "each line comes once");
    assert.equal(lines.at(-1), "step 28/28");
  },

  async "our request bodies make pictures on every endpoint"() {
    const trained = await fal.subscribe(PORTRAIT, { input: { images_data_url: zip(), steps: 100 }, pollInterval: 20 });
    for (const endpoint of GENERATORS) {
      const file = `${process.env.BODIES}/${endpoint.replaceAll("/", ".")}.json`;
      const input = JSON.parse(await readFile(file));
      // JavaScript has no exact number for the seed of the file.
      input.seed = 7;
      if (input.loras) input.loras[0].path = trained.data.diffusers_lora_file.url;
      const { data } = await fal.subscribe(endpoint, { input, pollInterval: 20 });
      assert.equal(data.images.length, input.num_images, endpoint);
      assert.equal(data.seed, 7, endpoint);
      assert.deepEqual(data.has_nsfw_concepts, data.images.map(() => false), endpoint);
      assert.equal((await fetched(data.images[0].url)).subarray(0, 2).toString("hex"), "ffd8", endpoint);
    }
  },

  async "a status stream ends after COMPLETED"() {
    const { request_id: requestId } = await fal.queue.submit(PICTURE, { input: { prompt: "p" } });
    const stream = await fal.queue.streamStatus(PICTURE, { requestId, logs: false });
    const words = [];
    for await (const event of stream) words.push(event.status);
    assert.equal(words[0], "IN_QUEUE");
    assert.equal(words.at(-1), "COMPLETED");
    assert.equal((await stream.done()).status, "COMPLETED");
  },

  async "nested endpoint ids and the synchronous API"() {
    const input = { prompt: "p", finetune_id: "f", finetune_strength: 1 };
    const queued = await fal.subscribe(FINETUNED, { input, pollInterval: 20 });
    assert.equal(queued.data.images[0].content_type, "image/jpeg");
    const { data, requestId } = await fal.run(PICTURE, { input: { prompt: "p", image_size: "square" } });
    assert.ok(requestId);
    assert.equal(data.images[0].width, 512);
  },

  async "an upload above 90 MiB goes in parts"() {
    const since = await lastSeq();
    const big = new File([new Uint8Array(91 * 1024 * 1024 + 5)], "big.zip", { type: "application/zip" });
    const url = await fal.storage.upload(big);
    const [entry] = await eventsSince(since, "uploaded", 1);
    assert.deepEqual([entry.file_url, entry.parts, entry.bytes], [url, 10, big.size]);
  },

  async "everything through one proxy URL"() {
    const proxied = createFalClient({ credentials, proxyUrl: { url: `${base}/proxy`, when: "always" } });
    const url = await proxied.storage.upload(zip());
    const { data } = await proxied.subscribe(PORTRAIT, { input: { images_data_url: url }, pollInterval: 20 });
    assert.ok(data.diffusers_lora_file.url.startsWith(base));
  },

  async "model errors are ValidationErrors of the result"() {
    const error = await failure(fal.subscribe(PORTRAIT, { input: { iterations: 5 }, pollInterval: 20 }));
    assert.ok(error instanceof ValidationError, error);
    assert.equal(error.status, 422);
    assert.equal(error.getFieldErrors("images_data_url")[0].type, "missing");
    assert.equal(error.getFieldErrors("iterations")[0].type, "extra_forbidden");
  },

  async "refusals of the platform are ApiErrors"() {
    const unknown = await failure(fal.queue.submit("fal-ai/no-such-model", { input: {} }));
    assert.ok(unknown instanceof ApiError);
    assert.equal(unknown.status, 404);
    const keyless = createFalClient({ credentials: "no-colon", requestMiddleware: async (it) => rewrite(it) });
    assert.equal((await failure(keyless.queue.submit(PICTURE, { input: {} }))).status, 401);
    const { request_id: requestId } = await fal.queue.submit(PICTURE, { input: { prompt: "p" } });
    const early = await failure(fal.queue.result(PICTURE, { requestId }));
    assert.equal(early.status, 400);
  },

  async "a start timeout is the caller's own"() {
    await sim("faults", { on: "execution", endpoint: PICTURE, effect: { stuck_in_queue: {} } });
    const input = { prompt: "p" };
    const error = await failure(fal.subscribe(PICTURE, { input, startTimeout: 1.1, pollInterval: 50 }));
    assert.equal(error.status, 504);
    assert.ok(error.isUserTimeout);
  },

  async "cancel in the queue and while running"() {
    const since = await lastSeq();
    let { total } = await sim("held");
    for (const effect of ["stuck_in_queue", "stuck_in_progress"]) {
      await sim("faults", { on: "execution", endpoint: PICTURE, effect: { [effect]: {} } });
      const { request_id: requestId } = await fal.queue.submit(PICTURE, { input: { prompt: "p" } });
      await sim(`held?count=${++total}`);
      await fal.queue.cancel(PICTURE, { requestId });
      await fal.queue.subscribeToStatus(PICTURE, { requestId, pollInterval: 20 });
      const error = await failure(fal.queue.result(PICTURE, { requestId }));
      assert.equal(error.body.error_type, "client_cancelled");
    }
    const answers = (await eventsSince(since, "cancelled")).map((entry) => entry.http_status);
    assert.deepEqual(answers, [200, 202]);
  },

  async "a lost answer makes the client submit again"() {
    await sim("faults", { on: "submit", endpoint: PICTURE, effect: { close: {} } });
    const since = await lastSeq();
    const { request_id: requestId } = await fal.queue.submit(PICTURE, { input: { prompt: "p" } });
    const submitted = (await eventsSince(since, "submitted")).map((entry) => entry.request_id);
    assert.equal(submitted.length, 2);
    assert.equal(submitted[1], requestId);
  },

  async "webhooks arrive signed"() {
    const { url, next } = await receiver();
    const { request_id: requestId } = await fal.queue.submit(PICTURE, { input: { prompt: "п" }, webhookUrl: url });
    const delivery = await next();
    assert.equal(delivery.url, "/hook?token=abc");
    assert.ok(await verifies(delivery));
    assert.ok(!(await verifies({ ...delivery, body: Buffer.concat([delivery.body, Buffer.from(" ")]) })));
    const payload = JSON.parse(delivery.body);
    assert.equal(payload.request_id, requestId);
    assert.equal(payload.status, "OK");
    assert.deepEqual(payload.payload, (await fal.queue.result(PICTURE, { requestId })).data);
  },
};

for (const [name, check] of Object.entries(checks)) {
  console.log(name);
  await check();
}
const { version } = createRequire(import.meta.url)("./node_modules/@fal-ai/client/package.json");
console.log(`${Object.keys(checks).length} checks with @fal-ai/client ${version}`);
process.exit(0);
