import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { generator, randomBytes } from './cache-origin.mjs';
import { CHUNK, cacheEnvironment, cachePage } from './cache-support.mjs';
import { sha256 } from './support.mjs';

const env = cacheEnvironment();
const MODEL = randomBytes(5 * CHUNK + 1000, 2);
const OTHER = randomBytes(4 * CHUNK + 500, 3);
const DIGEST = sha256(MODEL);
const OPEN_CORS = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'content-range, etag, content-encoding',
};

/** Fetches the path with a fault, and returns the file's digest and description, or the error. */
async function fetched(t, fault, { path, options = {}, bytes = MODEL, page } = {}) {
  const name = t.name.replaceAll(/\W+/g, '-');
  const url = path ?? env.origin.put(name, bytes);
  const tab = page ?? (await cachePage(t, env));
  env.origin.fault = fault;
  return tab.evaluate(
    async ([name, url, { open: settings, ...options }]) => {
      const cache = await open({ name, ...settings });
      const events = [];
      const call = cache.fetch(url, { ...options, onProgress: (event) => events.push(event) });
      try {
        const file = await call;
        return { digest: await sha256(file), size: file.size, events };
      } catch {
        const error = await failure(call);
        return { error, left: await cache.stat(url) };
      }
    },
    [name, url, options],
  );
}

const always = (fault) => () => fault;
const nth = (wanted, fault) => (hit) => (hit.nth === wanted ? fault : undefined);
const ranges = () => env.origin.log.map(({ range }) => range);

test('a connection cut at 100 random places is resumed there', async (t) => {
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  const page = await cachePage(t, env);
  const path = env.origin.put('cuts', MODEL);
  const cuts = [];
  let cut;
  env.origin.fault = ({ nth }) => (nth === cut.request ? { cutAfter: cut.after } : undefined);
  await page.exposeFunction('nextCut', () => {
    cut = { request: Math.floor(random() * 6), after: Math.floor(random() * CHUNK) };
    env.origin.log = [];
  });
  await page.exposeFunction('endCut', (digest) => cuts.push({ ...cut, digest, sent: env.origin.sent }));
  await page.evaluate(async (path) => {
    const cache = await open({ name: 'cuts', connections: 1, retryDelay: 1 });
    for (let round = 0; round < 100; round++) {
      await nextCut();
      const file = await cache.fetch(path);
      await endCut(file.model.sha256);
      await cache.delete(path);
    }
  }, path);
  assert.equal(cuts.length, 100);
  for (const { request, after, digest, sent } of cuts) {
    assert.equal(digest, DIGEST, `cut of request ${request} after ${after} bytes`);
    // Only the bytes on their way when the connection was cut may be sent twice.
    assert.ok(sent <= MODEL.length + after, `${sent} bytes were sent, ${after} before the cut`);
  }
});

test('a download from a server that cuts every connection completes', async (t) => {
  const result = await fetched(t, always({ cutAfter: 30_000, piece: 10_000, linger: 20 }));
  assert.equal(result.digest, DIGEST);
  assert.ok(env.origin.log.length >= MODEL.length / 30_000);
});

test('a stall ends the connection, but not the download', async (t) => {
  const result = await fetched(t, nth(2, { stallAfter: 1000 }));
  assert.equal(result.digest, DIGEST);
  assert.equal(env.origin.log.length, 7);
});

test('a server that stalls permanently is an error', async (t) => {
  const { error, left } = await fetched(t, always({ stallAfter: 0 }), {
    options: { open: { retries: 2, stallTimeout: 100 } },
  });
  assert.equal(error.code, 'network');
  assert.match(error.message, /no byte for 0.1 s/);
  assert.equal(left.storedBytes, 0);
});

test('a server without ranges is read to its end', async (t) => {
  const { digest, events } = await fetched(t, always({ ignoreRange: true }));
  assert.equal(digest, DIGEST);
  assert.equal(env.origin.log.length, 1);
  assert.equal(events.at(-1).loaded, MODEL.length);
});

test('a download without ranges that breaks off restarts from the beginning', async (t) => {
  const result = await fetched(t, ({ nth }) => ({
    ignoreRange: true,
    cutAfter: nth < 2 ? 100_000 : undefined,
  }));
  assert.equal(result.digest, DIGEST);
  assert.deepEqual(ranges().slice(1), [undefined, undefined]);
});

test('a file whose server stops sending ranges is downloaded whole', async (t) => {
  const result = await fetched(t, ({ nth }) => ({ ignoreRange: nth >= 2 }));
  assert.equal(result.digest, DIGEST);
});

test('a wrong Content-Range is detected', async (t) => {
  const result = await fetched(t, nth(2, { headers: { 'content-range': `bytes 7-99/${MODEL.length}` } }));
  assert.equal(result.digest, DIGEST);
  assert.ok(ranges().every((range) => range !== undefined));
});

for (const [name, fault] of Object.entries({
  'ranges that are always wrong': { headers: { 'content-range': `bytes 7-99/${MODEL.length}` } },
  'ranges without a Content-Range': { headers: { 'content-range': undefined } },
  'ranges with more bytes than were requested': { extra: Buffer.alloc(1000) },
})) {
  test(`${name} are replaced by a whole download`, async (t) => {
    const result = await fetched(t, ({ range }) => (range ? fault : undefined));
    assert.equal(result.digest, DIGEST);
    assert.ok(ranges().includes(undefined));
  });
}

test('ranges of a compressed file are replaced by a whole download', async (t) => {
  const zipped = gzipSync(MODEL);
  const headers = { 'content-encoding': 'gzip' };
  const result = await fetched(t, ({ range }) => {
    if (!range) return { body: zipped, headers };
    const [start, end] = range.slice('bytes='.length).split('-').map(Number);
    const last = Math.min(end, zipped.length - 1);
    const place = { 'content-range': `bytes ${start}-${last}/${zipped.length}` };
    return { body: zipped.subarray(start, last + 1), headers: { ...headers, ...place } };
  });
  assert.equal(result.digest, DIGEST);
  assert.ok(ranges().includes(undefined));
});

test('a server may send less than was requested', async (t) => {
  const result = await fetched(t, ({ range }) => {
    const [start, end] = range.slice('bytes='.length).split('-').map(Number);
    const last = Math.min(start + 19_999, end, MODEL.length - 1);
    const headers = { 'content-range': `bytes ${start}-${last}/${MODEL.length}` };
    return { body: MODEL.subarray(start, last + 1), headers };
  });
  assert.equal(result.digest, DIGEST);
});

test('an empty file is a file', async (t) => {
  const { size, digest } = await fetched(t, always({}), { bytes: Buffer.alloc(0) });
  assert.deepEqual([size, digest], [0, sha256(Buffer.alloc(0))]);
});

test('a file of exactly one chunk, and of one byte more', async (t) => {
  const page = await cachePage(t, env);
  for (const size of [1, CHUNK - 1, CHUNK, CHUNK + 1]) {
    const bytes = MODEL.subarray(0, size);
    const result = await fetched(t, always({}), { bytes, page, path: env.origin.put(`size-${size}`, bytes) });
    assert.deepEqual([result.size, result.digest], [size, sha256(bytes)]);
  }
});

test('a file without a declared length is stored as it comes', async (t) => {
  const headers = { 'content-length': undefined };
  const { digest, events } = await fetched(t, always({ ignoreRange: true, headers, extra: Buffer.alloc(0) }));
  assert.equal(digest, DIGEST);
  assert.equal(events[0].total, undefined);
});

test('a changed ETag during a download restarts it with the new file', async (t) => {
  const name = t.name.replaceAll(/\W+/g, '-');
  const result = await fetched(t, ({ nth }) => {
    if (nth < 3) return undefined;
    env.origin.files.set(name, OTHER);
    return undefined;
  });
  assert.equal(result.digest, sha256(OTHER), 'by its size');

  env.origin.reset();
  const twin = Buffer.from(MODEL).reverse();
  const path = env.origin.put('twin', MODEL);
  const same = await fetched(
    t,
    ({ nth, range }) => {
      if (nth === 3) env.origin.files.set('twin', twin);
      return range && nth >= 3 ? { headers: { etag: '"v2"' } } : undefined;
    },
    { path },
  );
  assert.equal(same.digest, sha256(twin), 'by its ETag');
});

test('a file that keeps changing is an error', async (t) => {
  const { error } = await fetched(t, ({ nth }) => ({ headers: { etag: `"v${nth}"` } }));
  assert.equal(error.code, 'network');
  assert.match(error.message, /changed/);
});

test('the download of a file that became shorter restarts', async (t) => {
  const name = t.name.replaceAll(/\W+/g, '-');
  const short = MODEL.subarray(0, CHUNK);
  const result = await fetched(t, ({ nth }) => {
    if (nth >= 2) env.origin.files.set(name, short);
  });
  assert.equal(result.digest, sha256(short));
  assert.ok(env.origin.log.some(({ status }) => status === 416));
});

for (const status of [429, 503]) {
  test(`${status}: a retry waits for as long as Retry-After says`, async (t) => {
    const times = [];
    const result = await fetched(
      t,
      ({ nth }) => {
        times.push(performance.now());
        return nth === 1 ? { status, headers: { 'retry-after': '1' } } : undefined;
      },
      { options: { open: { connections: 1 } } },
    );
    assert.equal(result.digest, DIGEST);
    assert.ok(times[2] - times[1] >= 990, `${times[2] - times[1]} ms`);
  });
}

test('a server that demands a pause of an hour is an error', async (t) => {
  const headers = { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() };
  const { error } = await fetched(t, always({ status: 503, headers }));
  assert.deepEqual([error.code, error.status, env.origin.log.length], ['network', 503, 1]);
});

test('a permanent server error is reported with its status', async (t) => {
  const { error } = await fetched(t, always({ status: 500 }), { options: { open: { retries: 3 } } });
  assert.deepEqual([error.code, error.status, env.origin.log.length], ['network', 500, 4]);
});

for (const status of [304, 400, 403, 404, 410]) {
  test(`${status} is an error at once`, async (t) => {
    const { error } = await fetched(t, always({ status, body: Buffer.alloc(0) }));
    assert.deepEqual([error.code, error.status, env.origin.log.length], ['network', status, 1]);
    assert.ok(error.url.endsWith(env.origin.log[0].url));
  });
}

test('a signed URL that expires during a download is replaced once', async (t) => {
  const page = await cachePage(t, env);
  const path = env.origin.put('signed', MODEL);
  let asked = 0;
  await page.exposeFunction('sign', (url, status) => {
    asked++;
    assert.equal(status, 403);
    return `${url.split('?')[0]}?signature=${asked + 1}`;
  });
  // The third request is the first with an expired signature.
  env.origin.fault = ({ url, nth }) => (nth >= 2 && !url.endsWith('=2') ? { status: 403 } : undefined);
  const digest = await page.evaluate(async (path) => {
    const cache = await open({ name: 'signed' });
    return sha256(await cache.fetch(`${path}?signature=1`, { refreshUrl: (...args) => sign(...args) }));
  }, path);
  assert.equal(digest, DIGEST);
  assert.equal(asked, 1);
  const broken = await page.evaluate(async (path) => {
    const cache = await open({ name: 'signed' });
    const refreshUrl = () => Promise.reject(new RangeError('signed out'));
    return cache.fetch(`${path}?signature=9`, { refreshUrl }).catch(({ name, message }) => [name, message]);
  }, path);
  assert.deepEqual(broken, ['RangeError', 'signed out']);
});

test('headers are sent with every request', async (t) => {
  const options = { headers: { authorization: 'Bearer of-good-news' } };
  const { digest } = await fetched(
    t,
    ({ headers }) => (headers.authorization ? undefined : { status: 401 }),
    {
      options,
    },
  );
  assert.equal(digest, DIGEST);
});

test('pages and pointers are not models', async (t) => {
  const page = await cachePage(t, env);
  const html = Buffer.from('<!DOCTYPE html><title>Sign in</title>');
  const pointer = Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n');
  const typed = await fetched(t, always({ headers: { 'content-type': 'text/html; charset=utf-8' } }), {
    page,
  });
  const untyped = await fetched(t, always({}), { page, path: env.origin.put('html', html) });
  const streamed = await fetched(t, always({ ignoreRange: true }), {
    page,
    path: env.origin.put('html2', html),
  });
  const lfs = await fetched(t, always({}), { page, path: env.origin.put('pointer', pointer) });
  for (const { error } of [typed, untyped, streamed, lfs]) assert.equal(error.code, 'format');
  assert.match(lfs.error.message, /git-lfs pointer/);
});

test('redirects are followed, range by range', async (t) => {
  env.origin.put('target', MODEL);
  const location = '/m/target';
  const result = await fetched(t, ({ name }) =>
    name === 'target' ? undefined : { status: 302, headers: { location } },
  );
  assert.equal(result.digest, DIGEST);
  assert.equal(env.origin.log.filter(({ name }) => name === 'target').length, 6);
});

test('another origin is read by ranges if it exposes them, whole if not, and not at all if it forbids access', async (t) => {
  const page = await cachePage(t, env);
  const at = (name) => `${env.other.slice(0, -1)}${env.origin.put(name, MODEL)}`;
  const open = await fetched(t, always({ headers: OPEN_CORS }), { page, path: at('open') });
  assert.equal(open.digest, DIGEST);
  assert.equal(env.origin.log.filter(({ range }) => range).length, 6);
  const shy = { 'access-control-allow-origin': '*' };
  env.origin.reset();
  const hidden = await fetched(t, always({ headers: shy }), { page, path: at('hidden') });
  assert.equal(hidden.digest, DIGEST);
  assert.ok(ranges().includes(undefined));
  const options = { open: { retries: 1 } };
  const { error } = await fetched(t, always({}), { page, path: at('closed'), options });
  assert.equal(error.code, 'network');
});

/** Stores three chunks with some headers, aborts, and fetches again with `options`. */
async function interrupted(t, headers, options = {}) {
  const path = env.origin.put(t.name.replaceAll(/\W+/g, '-'), MODEL);
  const page = await cachePage(t, env);
  const settings = { open: { connections: 1, retries: 0, stallTimeout: 200 } };
  const fault = ({ nth }) => ({ headers, ...(nth >= 3 && { stallAfter: 0 }) });
  const { left } = await fetched(t, fault, { path, page, options: settings });
  assert.equal(left.storedBytes, 3 * CHUNK);
  env.origin.reset();
  const { digest } = await fetched(t, always({ headers }), { path, page, options });
  assert.equal(digest, DIGEST);
  return env.origin.sent;
}

test('a weak ETag alone does not prove that parts belong together', async (t) => {
  assert.equal(await interrupted(t, { etag: 'W/"v1"' }), MODEL.length);
});

test('a weak ETag is enough if the digest is known', async (t) => {
  const integrity = DIGEST;
  assert.equal(await interrupted(t, { etag: 'W/"v1"' }, { integrity }), MODEL.length - 3 * CHUNK);
});

test('Last-Modified is enough to resume', async (t) => {
  const headers = { etag: undefined, 'last-modified': 'Sat, 21 Nov 2026 10:00:00 GMT' };
  assert.equal(await interrupted(t, headers), MODEL.length - 3 * CHUNK);
});

test('parts that do not match the digest are fetched again once', async (t) => {
  const path = env.origin.put('mixed', OTHER);
  const page = await cachePage(t, env);
  const settings = { open: { connections: 1, retries: 0, stallTimeout: 200 } };
  const length = MODEL.length;
  const [first, second] = [MODEL, Buffer.from(MODEL).reverse()];
  env.origin.put('mixed', second);
  await fetched(t, ({ nth }) => (nth >= 3 ? { stallAfter: 0 } : undefined), {
    path,
    page,
    options: settings,
  });
  env.origin.reset();
  env.origin.put('mixed', first);
  const { digest } = await fetched(t, always({}), { path, page, options: { integrity: DIGEST } });
  assert.equal(digest, DIGEST);
  assert.equal(env.origin.sent, length - 3 * CHUNK + length);
});
