/**
 * The core scenarios in Firefox and in WebKitGTK. A browser that is missing is skipped, and the
 * reason is printed.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { until } from 'selenium-webdriver';
import { packageDist } from '../../../scripts/lib/paths.mjs';
import { serve } from '../../../scripts/lib/server.mjs';
import { Origin, randomBytes, startOf } from '../cache-origin.mjs';
import { SHA256, sha256, vectors } from '../support.mjs';
import { BROWSERS, launch, obstacle } from './drivers.mjs';

const PATIENCE_MS = 30_000;
const CHUNK = 1 << 16;
const MODEL = randomBytes(9 * CHUNK + 1000, 3);

const html = (_, response) =>
  response
    .writeHead(200, { 'content-type': 'text/html' })
    .end('<!doctype html><body><script type="module" src="/page.js"></script>');

const script = (content) => (_, response) =>
  response.writeHead(200, { 'content-type': 'text/javascript' }).end(content);

const SERVICE_WORKER = `
import { RestoredFile } from '/bitx/service-worker.js';
const tuned = new RestoredFile({ base: '/vectors/base-bf16.safetensors', delta: '/vectors/sft-bf16.v2.bitx' });
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('fetch', (event) => {
  if (new URL(event.request.url).pathname === '/tuned') event.respondWith(tuned.respond(event.request));
});
`;

for (const [name, kind] of Object.entries(BROWSERS)) {
  const reason = obstacle(kind);
  if (reason) console.log(`${name} is skipped: ${reason}`);
  describe(name, { skip: reason ?? false }, () => inBrowser(kind));
}

function inBrowser(kind) {
  const env = { origin: new Origin(), servers: [] };
  before(async () => {
    const mounts = {
      '/scenario': html,
      '/page.js': script(readFileSync(new URL('./page.mjs', import.meta.url))),
      '/sw.js': script(SERVICE_WORKER),
      '/bitx/': packageDist,
      '/vectors/': vectors,
      '/m/': env.origin.handler,
    };
    for (const isolated of [true, false]) {
      const { server, address } = await serve({ mounts, isolated });
      env.servers.push(server);
      env[isolated ? 'isolated' : 'plain'] = address;
    }
    Object.assign(env, await launch(kind));
  });
  after(async () => {
    await env.stop?.();
    for (const server of env.servers) {
      server.closeAllConnections();
      server.close();
    }
  });
  scenarios(env, kind);
}

/** Opens the page that runs a scenario. */
function open(env, scenario, { isolated = true, ...options } = {}) {
  const query = new URLSearchParams({ scenario, ...options });
  return env.browser.get(`${isolated ? env.isolated : env.plain}scenario?${query}`);
}

/** Runs a scenario, and returns its result. */
async function found(env, scenario, options) {
  await open(env, scenario, options);
  await env.browser.wait(until.titleIs('done'), PATIENCE_MS);
  const result = JSON.parse(await env.browser.executeScript('return document.body.textContent'));
  assert.equal(result.error, undefined);
  return result;
}

function scenarios(env, { keeps }) {
  const passing = keeps ? false : 'under a driver, this browser is a private window';

  for (const isolated of [true, false]) {
    test(`restores, ${isolated ? '' : 'not '}isolated`, async (t) => {
      const result = await found(env, 'restore', { isolated });
      t.diagnostic(`mode ${result.mode}`);
      assert.equal(result.isolated, isolated);
      assert.equal(result.mode === 'threads', isolated);
      assert.equal(result.sha256, SHA256.sft);
      assert.ok(result.progressed);
    });
  }

  test('restores into a stream', async () => {
    const { sha256, length } = await found(env, 'stream');
    assert.deepEqual([sha256, length], [SHA256.sft, 1192912]);
  });

  test('restores into a file of the origin and compresses from there', { skip: passing }, async () => {
    const { sha256, archive } = await found(env, 'to-file');
    assert.equal(sha256, SHA256.sft);
    assert.ok(archive > 0);
  });

  test('compresses, and restores the result', async () => {
    const { sha256, smaller } = await found(env, 'compress');
    assert.deepEqual([sha256, smaller], [SHA256.sft, true]);
  });

  test('failures have their codes', async () => {
    const { missing, swapped, aborted } = await found(env, 'errors');
    assert.deepEqual([missing, swapped, aborted], ['network', 'format', 'aborted']);
  });

  const stuck = (hit) => (startOf(hit) >= 4 * CHUNK && hit.nth < 7 ? { stallAfter: 100 } : undefined);

  test('an aborted download continues, and nothing is fetched twice', async (t) => {
    const path = env.origin.put('interrupted', MODEL);
    env.origin.fault = stuck;
    const result = await found(env, 'interrupted', { isolated: false, path, bytes: 4 * CHUNK });
    t.diagnostic(`backend ${result.backend}`);
    assert.deepEqual([result.aborted, result.stored, result.ok], ['aborted', 4 * CHUNK, true]);
    assert.equal(result.sha256, sha256(MODEL));
    assert.equal(env.origin.sent, MODEL.length + 3 * 100);
    env.origin.reset();
  });

  test('a download continues after a reload, and is not repeated', { skip: passing }, async () => {
    const path = env.origin.put('model', MODEL);
    env.origin.fault = stuck;
    await open(env, 'cache', { isolated: false, path });
    // Three concurrent chunks are stuck once four have arrived.
    await env.browser.wait(() => env.origin.log.length >= 7, PATIENCE_MS);
    const result = await found(env, 'cache', { isolated: false, path });
    assert.equal(result.sha256, sha256(MODEL));
    assert.ok(result.ok);
    assert.equal(result.stored, 4 * CHUNK);
    assert.equal(env.origin.sent, MODEL.length + 3 * 100);
    env.origin.reset();
    const again = await found(env, 'cache', { isolated: false, path });
    assert.deepEqual([again.sha256, env.origin.sent], [sha256(MODEL), 0]);
  });

  test('a fine-tune is restored into the cache', async () => {
    const result = await found(env, 'fine-tune', { isolated: false });
    assert.deepEqual(result, { fits: true, fetches: true, sha256: SHA256.sft, cached: true });
  });

  test('a service worker answers requests for a fine-tune', async () => {
    const { sha256, status, part } = await found(env, 'service-worker', { isolated: false });
    assert.deepEqual([sha256, status, part], [SHA256.sft, 206, 100]);
  });
}
