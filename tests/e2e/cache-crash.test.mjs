import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generator, randomBytes } from './cache-origin.mjs';
import { CHUNK, cacheEnvironment, cachePage, openHelpers } from './cache-support.mjs';
import { sha256 } from './support.mjs';

const env = cacheEnvironment();
const MODEL = randomBytes(12 * CHUNK + 1000, 8);
const DIGEST = sha256(MODEL);
const ROUNDS = 100;

/** Ends a page as a user, or as a crash of its process does. */
const ENDS = [
  (page) => page.close(),
  async (page) => {
    const cdp = await env.context.newCDPSession(page);
    cdp.send('Page.crash').catch(() => {});
    await page.waitForEvent('crash');
    await page.close();
  },
];

/** Starts a download that takes about a tenth of a second, and ends the page once so many bytes are sent. */
async function killed(page, path, { bytes, after, end }) {
  env.origin.reset();
  env.origin.fault = () => ({ piece: 16384, delay: 5 });
  const call = page.evaluate(async (path) => {
    const cache = await open({ name: 'killed' });
    await cache.fetch(path);
  }, path);
  const ended = call.catch(() => {});
  while (env.origin.sent < bytes) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, after));
  await end(page);
  await ended;
  return env.origin.sent;
}

/** What there is of the model, and what it takes to complete it. */
async function completed(page, path) {
  env.origin.reset();
  const result = await page.evaluate(async (path) => {
    const cache = await open({ name: 'killed' });
    const stat = await cache.stat(path);
    const digest = await sha256(await cache.fetch(path));
    const { ok } = await cache.verify(path);
    await cache.delete(path);
    cache.close();
    return { stored: stat?.storedBytes ?? 0, complete: stat?.complete ?? false, digest, ok };
  }, path);
  const starts = env.origin.log.map(({ range }) => Number(/=(\d+)-/.exec(range)[1]));
  return { ...result, sent: env.origin.sent, starts };
}

test(`a tab killed at ${ROUNDS} random moments loses nothing that was stored`, async (t) => {
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  const path = env.origin.put('killed', MODEL);
  let page = await cachePage(t, env);
  const counts = { nothing: 0, some: 0, all: 0, saved: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    // One in five is killed between the last byte and the manifest, or just behind it.
    const late = random() < 0.2;
    const bytes = late ? MODEL.length : 1 + Math.floor(random() * MODEL.length);
    const moment = { bytes, after: late ? random() * 60 : random() * 5, end: ENDS[round % 10 === 9 ? 1 : 0] };
    const first = await killed(page, path, moment);
    page = await env.context.newPage();
    await openHelpers(page, env);
    const { stored, complete, digest, ok, sent, starts } = await completed(page, path);
    const place = `round ${round}, killed after ${bytes} bytes, ${stored} stored`;
    assert.equal(digest, DIGEST, place);
    assert.ok(ok, place);
    assert.ok(sent <= MODEL.length - stored, `${place}, ${sent} sent again`);
    assert.equal(new Set(starts).size, starts.length, `${place}: a chunk was fetched twice`);
    assert.ok(first + sent <= MODEL.length + 3 * CHUNK + 3 * 16384, `${place}: ${first} and ${sent} sent`);
    counts[complete ? 'all' : stored === 0 ? 'nothing' : 'some']++;
    counts.saved += stored;
  }
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.some > ROUNDS / 2, 'most kills must hit a part');
});
