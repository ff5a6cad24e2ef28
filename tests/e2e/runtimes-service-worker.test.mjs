import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Bitx } from '../../js/dist/node.js';
import { modelPair } from '../../scripts/lib/random-models.mjs';
import { environment, openPage, sha256 } from './support.mjs';

const env = environment();
/** 24 MiB, which makes two windows. */
const model = {};

const WORKER = `
import { RestoredFile } from '/bitx/service-worker.js';
const delta = '/parts/delta';
const files = {
  '/tuned': new RestoredFile({ base: '/parts/base', delta, wasmUrl: '/bitx/bitx-restore.wasm' }),
  '/marked': new RestoredFile({ base: '/parts/base', delta, headers: { etag: '"1"', 'content-type': 'x/y' } }),
  '/short': new RestoredFile({ base: '/parts/short', delta }),
  '/damaged': new RestoredFile({ base: '/parts/base', delta: '/parts/damaged' }),
  '/missing': new RestoredFile({ base: '/parts/base', delta: '/parts/nothing' }),
};
// A base that a page has stored in the origin private file system.
const fromStorage = async () => {
  const root = await navigator.storage.getDirectory();
  return new RestoredFile({ base: await root.getFileHandle('base'), delta });
};
// The number of steps in which the wasm opens a model of many tensors, and of those before which no
// other event was handled.
const opening = async () => {
  const { port1, port2 } = new MessageChannel();
  const { Instance } = WebAssembly;
  const found = { steps: 0, blocked: 0 };
  let [events, seen] = [0, -1];
  port1.onmessage = () => {
    events++;
    port2.postMessage(0);
  };
  port2.postMessage(0);
  WebAssembly.Instance = function (...args) {
    const { exports } = new Instance(...args);
    const job_advance = (...rest) => {
      found.steps++;
      if (seen === events) found.blocked++;
      seen = events;
      return exports.job_advance(...rest);
    };
    return { exports: { ...exports, job_advance } };
  };
  const many = new RestoredFile({ base: '/parts/many', delta: '/parts/many-delta' });
  const { status, headers } = await many.respond(new Request('/many', { method: 'HEAD' }));
  port1.close();
  return Response.json({ ...found, status, length: Number(headers.get('content-length')) });
};
// The length of each part of a file, and the number of other events that were handled before it.
const parts = async () => {
  const { body } = await files['/tuned'].respond(new Request('/tuned'));
  const { port1, port2 } = new MessageChannel();
  let events = 0;
  let over = false;
  port1.onmessage = () => {
    events++;
    if (!over) port2.postMessage(0);
  };
  port2.postMessage(0);
  const found = [];
  for await (const { length } of body) {
    found.push({ length, events });
    events = 0;
  }
  over = true;
  return Response.json(found);
};
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('fetch', (event) => {
  const { pathname } = new URL(event.request.url);
  if (files[pathname]) event.respondWith(files[pathname].respond(event.request));
  if (pathname === '/parts-of-tuned') event.respondWith(parts());
  if (pathname === '/opening-of-many') event.respondWith(opening());
  if (pathname === '/stored') event.respondWith(fromStorage().then((file) => file.respond(event.request)));
});
`;

const bytes = (content) => (request, response) => {
  const [, start, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const part = content.subarray(Number(start ?? 0), start ? Number(last) + 1 : undefined);
  const end = Number(start ?? 0) + part.length - 1;
  const range = start && { 'content-range': `bytes ${start}-${end}/${content.length}` };
  response.writeHead(start ? 206 : 200, { 'content-length': part.length, ...range }).end(part);
};

before(async () => {
  const pieces = [...modelPair(3)];
  const base = Buffer.concat(pieces.map(({ base }) => base));
  model.bytes = Buffer.concat(pieces.map(({ target }) => target));
  const bitx = await Bitx.create();
  const archive = await bitx.compress({ base, target: model.bytes, effort: 'fast' });
  const many = manyTensors(30_000);
  const manyDelta = await bitx.compress({ base: many, target: many, effort: 'fast' });
  bitx.dispose();
  model.many = many.length;
  const delta = Buffer.from(await archive.arrayBuffer());
  // The place of the last chunks.
  const damaged = Buffer.from(delta);
  damaged[damaged.length - 20_000] ^= 1;
  Object.assign(env.mounts, {
    '/worker.js': (_, response) => response.writeHead(200, { 'content-type': 'text/javascript' }).end(WORKER),
    '/parts/base': bytes(base),
    '/parts/short': bytes(base.subarray(0, base.length - (8 << 20))),
    '/parts/delta': bytes(delta),
    '/parts/damaged': bytes(damaged),
    '/parts/many': bytes(many),
    '/parts/many-delta': bytes(Buffer.from(await manyDelta.arrayBuffer())),
  });
});

/** Returns a model of so many tensors of one weight each. */
function manyTensors(count) {
  const entry = (_, i) => [`w${i}`, { dtype: 'BF16', shape: [1], data_offsets: [2 * i, 2 * i + 2] }];
  const header = Buffer.from(JSON.stringify(Object.fromEntries(Array.from({ length: count }, entry))));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(2 * count, 1)]);
}

/** Opens a page that the service worker controls, and that is not isolated. */
async function served(t) {
  const page = await openPage(t, env, { isolated: false });
  await page.evaluate(async () => {
    await navigator.serviceWorker.register('/worker.js', { type: 'module' });
    if (!navigator.serviceWorker.controller) {
      await new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve));
    }
    globalThis.ask = async (path, { range, ...init } = {}) => {
      const response = await fetch(path, {
        ...init,
        headers: range ? { range, ...init.headers } : init.headers,
      });
      const body = await response.arrayBuffer();
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', body));
      const sha256 = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
      const { status, headers } = response;
      return { status, length: body.byteLength, sha256, headers: Object.fromEntries(headers) };
    };
  });
  return page;
}

const ask = (page, path, options) => page.evaluate(([path, options]) => ask(path, options), [path, options]);

test('other events are handled while a model of many tensors is opened', async (t) => {
  const page = await served(t);
  const found = await page.evaluate(async () => (await fetch('/opening-of-many')).json());
  assert.deepEqual(
    { ...found, steps: undefined },
    { steps: undefined, blocked: 0, status: 200, length: model.many },
  );
  assert.ok(found.steps > 100, `${found.steps} steps`);
});

test('a request for the file gets the whole file', async (t) => {
  const page = await served(t);
  const { status, length, headers, sha256: digest } = await ask(page, '/tuned');
  assert.equal(status, 200);
  assert.equal(length, model.bytes.length);
  assert.equal(headers['content-length'], String(model.bytes.length));
  assert.equal(headers['accept-ranges'], 'bytes');
  assert.equal(headers['content-type'], 'application/octet-stream');
  assert.equal(digest, sha256(model.bytes));
});

test('a restore goes on in short steps, between which the service worker does other work', async (t) => {
  const page = await served(t);
  const parts = await page.evaluate(async () => (await fetch('/parts-of-tuned')).json());
  const sum = parts.reduce((sum, { length }) => sum + length, 0);
  assert.equal(sum, model.bytes.length);
  assert.ok(
    parts.every(({ length, events }) => length <= 4 << 20 && events > 0),
    JSON.stringify(parts),
  );
});

test('HEAD gets the same headers and no body', async (t) => {
  const { status, length, headers } = await ask(await served(t), '/tuned', { method: 'HEAD' });
  assert.deepEqual([status, length, headers['content-length']], [200, 0, String(model.bytes.length)]);
});

test('any range is answered with 206 and its bytes', async (t) => {
  const page = await served(t);
  const size = model.bytes.length;
  const WINDOW = 16 << 20;
  const ranges = [
    ['0-0', 0, 1],
    ['22000000-22000999', 22_000_000, 22_001_000],
    [`${WINDOW - 5}-${WINDOW + 4}`, WINDOW - 5, WINDOW + 5],
    ['1000-20001000', 1000, 20_001_001],
    ['-100', size - 100, size],
    [`${size - 3}-`, size - 3, size],
    ['0-99999999', 0, size],
    ['7-7', 7, 8],
  ];
  for (const [range, start, end] of ranges) {
    const answer = await ask(page, '/tuned', { range: `bytes=${range}` });
    assert.equal(answer.status, 206, range);
    assert.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/${size}`);
    assert.equal(answer.headers['content-length'], String(end - start));
    assert.equal(answer.sha256, sha256(model.bytes.subarray(start, end)), range);
  }
});

test('concurrent ranges do not mix', async (t) => {
  const page = await served(t);
  const answers = await page.evaluate(() =>
    Promise.all([21, 5, 17, 11, 15].map((at) => ask('/tuned', { range: `bytes=${at}000000-${at}999999` }))),
  );
  const expected = [21, 5, 17, 11, 15].map((at) => sha256(model.bytes.subarray(at * 1e6, (at + 1) * 1e6)));
  assert.deepEqual(
    answers.map(({ sha256 }) => sha256),
    expected,
  );
});

test('requests that cannot get a range have their own answers', async (t) => {
  const page = await served(t);
  const size = model.bytes.length;
  const behind = await ask(page, '/tuned', { range: `bytes=${size}-` });
  assert.deepEqual([behind.status, behind.headers['content-range']], [416, `bytes */${size}`]);
  const several = await ask(page, '/tuned', { range: 'bytes=0-1,5-6' });
  assert.deepEqual([several.status, several.length], [200, size]);
  const posted = await ask(page, '/tuned', { method: 'POST' });
  assert.deepEqual([posted.status, posted.headers.allow], [405, 'GET, HEAD']);
});

test('headers can be added, and If-Range is honoured', async (t) => {
  const page = await served(t);
  const range = 'bytes=0-9';
  const same = await ask(page, '/marked', { range, headers: { 'if-range': '"1"' } });
  assert.deepEqual([same.status, same.headers.etag, same.headers['content-type']], [206, '"1"', 'x/y']);
  const other = await ask(page, '/marked', { range, headers: { 'if-range': '"2"' } });
  assert.equal(other.status, 200);
});

test('an error at the start is a 502 with the reason', async (t) => {
  const page = await served(t);
  const short = await ask(page, '/short');
  assert.deepEqual([short.status, short.headers['x-bitx-error']], [502, 'truncated']);
  const missing = await ask(page, '/missing');
  assert.deepEqual([missing.status, missing.headers['x-bitx-error']], [502, 'network']);
});

test('a later error breaks off the body', async (t) => {
  const page = await served(t);
  const read = await page.evaluate(async () => {
    const { status, body } = await fetch('/damaged');
    let bytes = 0;
    try {
      for await (const part of body) bytes += part.length;
    } catch (error) {
      return { status, bytes, error: error.name };
    }
    return { status, bytes };
  });
  assert.equal(read.status, 200);
  assert.ok(read.bytes < model.bytes.length, `${read.bytes} bytes`);
  assert.equal(read.error, 'TypeError');
});

test('cancelled responses do not disturb later ones', async (t) => {
  const page = await served(t);
  await page.evaluate(async () => {
    for (let round = 0; round < 5; round++) {
      const { body } = await fetch('/tuned');
      const reader = body.getReader();
      await reader.read();
      await reader.cancel();
    }
  });
  assert.equal((await ask(page, '/tuned')).sha256, sha256(model.bytes));
});

test('the base can be a file that a page has stored', async (t) => {
  const page = await served(t);
  await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const handle = await root.getFileHandle('base', { create: true });
    await (await fetch('/parts/base')).body.pipeTo(await handle.createWritable());
  });
  assert.equal((await ask(page, '/stored')).sha256, sha256(model.bytes));
});

test('a loader that fetches by ranges gets the right file', async (t) => {
  const page = await served(t);
  const digest = await page.evaluate(async () => {
    const { ModelCache } = await import('/bitx/cache.js');
    const cache = await ModelCache.open({ name: 'ranges' });
    const file = await cache.fetch('/tuned');
    await cache.close();
    return file.model.sha256;
  });
  assert.equal(digest, sha256(model.bytes));
});
