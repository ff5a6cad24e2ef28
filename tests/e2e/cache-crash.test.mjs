import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launchProfile } from '../../scripts/lib/browser.mjs';
import { generator, randomBytes } from './cache-origin.mjs';
import { CHUNK, cacheEnvironment, cachePage, openHelpers } from './cache-support.mjs';
import { sha256 } from './support.mjs';

const env = cacheEnvironment();
const MODEL = randomBytes(12 * CHUNK + 1000, 8);
const DIGEST = sha256(MODEL);
const ROUNDS = 25;
const PIECE = 16384;

/** Ends a page like a user, or like a crash of its process. */
const ENDS = [
  (page) => page.close(),
  async (page) => {
    const cdp = await env.context.newCDPSession(page);
    cdp.send('Page.crash').catch(() => {});
    await page.waitForEvent('crash');
    await page.close();
  },
];

/**
 * Starts a download of about a tenth of a second, and ends the page once a number of bytes has been
 * sent.
 */
async function killed(page, path, { bytes, after, end }) {
  env.origin.reset();
  env.origin.fault = () => ({ piece: PIECE, delay: 5 });
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

/** Returns the cached bytes of the model, and the bytes that complete it. */
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

for (let quarter = 1; quarter <= 4; quarter++) {
  test(`a tab killed at ${ROUNDS} random moments loses nothing that was stored, ${quarter} of 4`, async (t) => {
    const seed = (Date.now() + quarter) % 2 ** 31;
    t.diagnostic(`seed ${seed}`);
    const random = generator(seed);
    const path = env.origin.put('killed', MODEL);
    let page = await cachePage(t, env);
    const counts = { nothing: 0, some: 0, every: 0, whole: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      // One in five is killed between the last byte and the manifest, or just after it.
      const late = random() < 0.2;
      const bytes = late ? MODEL.length : 1 + Math.floor(random() * MODEL.length);
      const after = random() * (late ? 15 : 5);
      const end = ENDS[round % 10 === 9 ? 1 : 0];
      const first = await killed(page, path, { bytes, after, end });
      page = await env.context.newPage();
      await openHelpers(page, env);
      counts[check(await completed(page, path), first, `round ${round}, killed after ${bytes} bytes`)]++;
    }
    await page.close();
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.some > ROUNDS / 3, 'most kills must hit a part');
  });
}

/**
 * Checks that the entry after a kill is right, and that its completion costs no more than the
 * missing bytes. Returns the entry's state.
 */
function check({ stored, complete, digest, ok, sent, starts }, first, when) {
  const place = `${when}, ${stored} stored`;
  assert.equal(digest, DIGEST, place);
  assert.ok(ok, place);
  assert.ok(sent <= MODEL.length - stored, `${place}, ${sent} sent again`);
  assert.equal(new Set(starts).size, starts.length, `${place}: a chunk was fetched twice`);
  // Besides the model, only the bytes on their way for three chunks may be sent again.
  assert.ok(first + sent <= MODEL.length + 3 * CHUNK + 3 * PIECE, `${place}: ${first} and ${sent} sent`);
  if (complete) return 'whole';
  return stored === 0 ? 'nothing' : stored === MODEL.length ? 'every' : 'some';
}

test('a browser resumes its downloads after a crash', async (t) => {
  const path = env.origin.put('killed', MODEL);
  let stored = 0;
  for (let round = 1; round <= 4; round++) {
    const page = await cachePage(t, env);
    const crash = async () => {
      const gone = new Promise((resolve) => env.context.once('close', resolve));
      const cdp = await env.context.browser().newBrowserCDPSession();
      cdp.send('Browser.crash').catch(() => {});
      await gone;
    };
    await killed(page, path, { bytes: (round * MODEL.length) / 5, after: 0, end: crash });
    env.context = await launchProfile(env.folder);
    const result = await completed(await cachePage(t, env), path);
    assert.equal(result.digest, DIGEST);
    assert.ok(result.ok && result.sent <= MODEL.length - result.stored);
    stored += result.stored;
  }
  assert.ok(stored > MODEL.length, `${stored} bytes were there after four crashes`);
});

for (const backend of ['opfs', 'cache-storage']) {
  test(`${backend}: a worker may die in every single access to the storage`, async (t) => {
    const small = MODEL.subarray(0, 3 * CHUNK + 10);
    const path = env.origin.put('access', small);
    const page = await cachePage(t, env);
    const deaths = [];
    // Opening Cache Storage takes two accesses, which test if it works.
    for (let nth = backend === 'opfs' ? 1 : 3, died = true; died; nth++) {
      env.origin.reset();
      const state = await page.evaluate(
        async ([backend, path, nth]) => {
          const death = new Promise((resolve) => {
            new BroadcastChannel('deaths').onmessage = ({ data }) => data.nth === nth && resolve(data.what);
          });
          const mortal = await open({ name: 'access', backend, workerUrl: `/worker/mortal.js?n=${nth}` });
          const call = mortal.fetch(path).then(
            () => undefined,
            () => undefined,
          );
          const what = await Promise.race([death, call]);
          mortal.close();
          globalThis.cache = await open({ name: 'access', backend });
          return { what, stat: await cache.stat(path) };
        },
        [backend, path, nth],
      );
      died = state.what !== undefined;
      deaths.push(state.what);
      env.origin.reset();
      const digest = await page.evaluate(async (path) => {
        const digest = await sha256(await cache.fetch(path));
        if (!(await cache.verify(path)).ok) throw new Error('not verified');
        await cache.delete(path);
        cache.close();
        return digest;
      }, path);
      const stored = state.stat?.storedBytes ?? 0;
      assert.equal(digest, sha256(small), `${nth}: ${state.what}`);
      assert.ok(env.origin.sent <= small.length - stored, `${nth}: ${state.what}, ${env.origin.sent} sent`);
    }
    t.diagnostic(deaths.join(' '));
    assert.ok(deaths.length > (backend === 'opfs' ? 20 : 6), `${deaths.length} accesses`);
  });
}
