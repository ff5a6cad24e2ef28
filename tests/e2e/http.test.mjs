/** Inputs from servers that misbehave on purpose. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { after, FaultyFile, faults, randomNumbers } from './faulty-file.mjs';
import { environment, openPage, SHA256, vectors } from './support.mjs';

const env = environment();
const bytesOf = (name) => readFileSync(join(vectors, name));
const BASE = bytesOf('base-bf16.safetensors');
const DELTA = bytesOf('sft-bf16.v2.bitx');
/** The number of bytes of a file's beginning, which is requested first. */
const HEAD = 65_536;

/**
 * Puts a base and a delta on the server, opens a page with a Bitx, and restores one from the other.
 */
async function site(t, options = {}) {
  const base = new FaultyFile(BASE);
  const delta = new FaultyFile(DELTA);
  Object.assign(env.mounts, { '/faulty/base': base.mount, '/faulty/delta': delta.mount });
  const page = await openPage(t, env);
  await page.evaluate(async (options) => {
    const { Bitx } = await import('/bitx/index.js');
    globalThis.bitx = await Bitx.create({ threads: 1, ...options });
  }, options);
  const restore = (options = {}) => page.evaluate(restoreInPage, options);
  return { page, base, delta, restore };
}

/** Runs in the page: returns the digest of the restored file, or the error. */
async function restoreInPage({ abortAfter } = {}) {
  const signal = abortAfter === undefined ? undefined : AbortSignal.timeout(abortAfter);
  const begun = performance.now();
  try {
    const model = await bitx.restore({ base: '/faulty/base', delta: '/faulty/delta', signal });
    const digest = await crypto.subtle.digest('SHA-256', await model.arrayBuffer());
    return {
      sha256: Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join(''),
    };
  } catch (error) {
    return { ...error, message: error.message, seconds: (performance.now() - begun) / 1000 };
  }
}

const PATIENT = {};
const IMPATIENT = { workerUrl: '/broken/impatient.js' };
const RESTORED = { sha256: SHA256.sft };

test('files are fetched by ranges, each byte about once', async (t) => {
  const { base, delta, restore } = await site(t);
  assert.deepEqual(await restore(), RESTORED);
  for (const [{ log }, size] of [
    [base, BASE.length],
    [delta, DELTA.length],
  ]) {
    assert.ok(log.every(({ status, range }) => status === 206 && range));
    const sent = log.reduce((sum, entry) => sum + entry.sent, 0);
    assert.ok(sent <= size + 3 * HEAD, `${sent} bytes sent of ${size}`);
  }
});

test('one tensor is fetched without the rest', async (t) => {
  const { page, base } = await site(t);
  const { length, name } = await page.evaluate(async () => {
    const { tensors } = await bitx.inspect('/faulty/delta');
    const { name } = tensors.find(({ method, name }) => method === 'delta' && name.includes('query.weight'));
    const { length } = await bitx.readTensor({ base: '/faulty/base', delta: '/faulty/delta', name });
    return { name, length };
  });
  const sent = base.log.reduce((sum, entry) => sum + entry.sent, 0);
  assert.ok(length > 0 && sent >= length && sent <= length + 2 * HEAD, `${sent} bytes for ${name}`);
});

test('a connection that is cut 100 times at random is resumed where it broke off', async (t) => {
  const { base, delta, restore } = await site(t, IMPATIENT);
  const random = randomNumbers(5);
  // The cuts are close together, so that all of them happen.
  base.next(...Array.from({ length: 100 }, () => faults.cut(1 + random(10_000))));
  delta.next(faults.none, faults.hangUp, faults.cut(0), faults.cut(20_000));
  assert.deepEqual(await restore(), RESTORED);
  assert.deepEqual([base.left, delta.left], [0, 0]);
  // Bytes on their way when the connection broke may be lost; half a megabyte came before the last
  // cut.
  const sent = base.log.reduce((sum, entry) => sum + entry.sent, 0);
  assert.ok(sent <= BASE.length + 3 * HEAD, `${sent} bytes sent`);
  const resumed = base.log.filter(({ range }) => range.end === BASE.length).map(({ range }) => range.start);
  assert.ok(resumed.length > 50 && resumed.every((start, i) => i === 0 || start >= resumed[i - 1]));
});

test('a server without ranges sends the whole file', async (t) => {
  for (const fault of [faults.whole, faults.wholeOfUnknownLength]) {
    const { base, delta, restore } = await site(t);
    base.always(fault);
    delta.always(fault);
    assert.deepEqual(await restore(), RESTORED);
    // The first answer is dropped, since its request was for a range.
    assert.deepEqual([base.log.length, delta.log.length], [2, 2]);
  }
});

test('ranges whose place is unknown are not used', async (t) => {
  const { base, delta, restore } = await site(t);
  const parts = (fault) => (plan, size) => (plan.status === 206 ? fault(plan, size) : plan);
  base.always(parts(faults.headers({ 'content-range': undefined })));
  delta.always(parts(faults.gzip));
  assert.deepEqual(await restore(), RESTORED);
  assert.deepEqual([base.log.at(-1).status, delta.log.at(-1).status], [200, 200]);
});

/** Restores from a response that the page has fetched itself. */
async function restoreResponse(t, base) {
  const { page } = await site(t);
  env.mounts['/faulty/base'] = base.mount;
  return page.evaluate(async () => {
    try {
      const model = await bitx.restore({ base: await fetch('/faulty/base'), delta: '/faulty/delta' });
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await model.arrayBuffer()));
      return { sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('') };
    } catch (error) {
      return { ...error, message: error.message };
    }
  });
}

test('a response that breaks off is resumed there', async (t) => {
  const base = new FaultyFile(BASE).next(
    faults.cut(300_000),
    faults.cut(200_000),
    faults.hangUp,
    faults.status(503),
  );
  assert.deepEqual(await restoreResponse(t, base), RESTORED);
  assert.equal(base.left, 0);
  const sent = base.log.reduce((sum, entry) => sum + entry.sent, 0);
  assert.ok(sent <= BASE.length + 500_000, `${sent} bytes sent`);
  const starts = base.log.slice(1).map(({ range }) => range.start);
  assert.ok(starts[0] > 0 && starts.at(-1) > starts[0] && starts.at(-1) <= 500_000, starts.join());
});

for (const [name, second] of [
  ['another file', faults.headers({ etag: '"second"' })],
  ['a file without an ETag', faults.headers({ etag: undefined })],
  ['another range', faults.shifted(10)],
  ['the whole file', faults.whole],
]) {
  test(`a response that breaks off is not joined with ${name}`, async (t) => {
    const base = new FaultyFile(BASE).next(faults.cut(300_000)).always(second);
    const { code, found, expected } = await restoreResponse(t, base);
    assert.deepEqual({ code, expected }, { code: 'network', expected: BASE.length });
    assert.ok(found <= 300_000, `${found} bytes`);
    assert.equal(base.log.length, 4);
  });
}

test('a response without a version is not requested again', async (t) => {
  const base = new FaultyFile(BASE).always((plan) => ({
    ...faults.headers({ etag: undefined })(plan),
    cut: 300_000,
  }));
  assert.equal((await restoreResponse(t, base)).code, 'network');
  assert.equal(base.log.length, 1);
});

test('a server that ignores ranges for a moment is asked again', async (t) => {
  const { base, restore } = await site(t, IMPATIENT);
  base.next(faults.none, faults.whole, faults.whole);
  assert.deepEqual(await restore(), RESTORED);
  assert.equal(base.left, 0);
});

test('a server that stops sending ranges is an error', async (t) => {
  const { base, restore } = await site(t, IMPATIENT);
  base.always(after(1, faults.none, faults.whole));
  const { code, status, url } = await restore();
  assert.deepEqual({ code, status }, { code: 'network', status: 200 });
  assert.match(url, /faulty\/base$/);
});

test('a range other than the requested one is not accepted', async (t) => {
  const { base, restore } = await site(t, IMPATIENT);
  base.next(faults.none, faults.shifted(10));
  assert.deepEqual(await restore(), RESTORED);
  base.always(after(1, faults.none, faults.shifted(10)));
  const { code, expected, found } = await restore();
  assert.deepEqual({ code, found }, { code: 'network', found: expected + 10 });
  base.always(faults.shifted(10));
  assert.equal((await restore()).code, 'network');
});

test('empty ranges and longer ranges than requested are errors', async (t) => {
  const { base, delta, restore } = await site(t, IMPATIENT);
  const empty = (plan, size) =>
    faults.headers({ 'content-range': `bytes ${plan.start}-${plan.start - 1}/${size}` })({
      ...plan,
      end: plan.start,
    });
  base.always(
    after(1, faults.none, (plan, size) => ({
      ...empty(plan, size),
      headers: { ...empty(plan, size).headers, 'content-length': 0 },
    })),
  );
  assert.equal((await restore()).code, 'network');
  base.always(faults.none);
  delta.always((plan, size) => ({
    ...plan,
    end: size,
    headers: {
      'content-range': `bytes ${plan.start}-${size - 1}/${size}`,
      'content-length': size - plan.start,
    },
  }));
  assert.equal((await restore()).code, 'network');
});

test('a range that is shorter than requested is completed', async (t) => {
  const { base, delta, restore } = await site(t);
  base.always(faults.short(100_000));
  delta.always(faults.short(30_000));
  assert.deepEqual(await restore(), RESTORED);
  assert.ok(base.log.length >= BASE.length / 100_000);
});

test('a file that changes while it is read is an error', async (t) => {
  const { base, restore } = await site(t);
  const undated = { etag: undefined };
  const yesterday = faults.headers({ ...undated, 'last-modified': 'Sat, 21 Nov 2026 10:00:00 GMT' });
  const today = faults.headers({ ...undated, 'last-modified': 'Sun, 22 Nov 2026 10:00:00 GMT' });
  const grown = (plan, size) =>
    faults.headers({ 'content-range': plan.headers['content-range'].replace(`/${size}`, `/${size + 1}`) })(
      plan,
    );
  const found = {};
  for (const [name, first, then] of [
    ['etag', faults.none, faults.headers({ etag: '"second"' })],
    ['date', yesterday, today],
    ['size', faults.none, grown],
    ['shrunk', faults.none, faults.status(416, { 'content-range': 'bytes */1000' })],
  ]) {
    base.always(after(1, first, then));
    const requests = base.log.length;
    const { code, url } = await restore();
    found[name] = { code, url: /faulty\/base$/.test(url), requests: base.log.length - requests };
  }
  const expected = { code: 'changed', url: true, requests: 2 };
  assert.deepEqual(found, { etag: expected, date: expected, size: expected, shrunk: expected });
});

test('a server that stalls is asked again', async (t) => {
  const { base, delta, restore } = await site(t, IMPATIENT);
  base.next(faults.stall(1000), faults.none, faults.stall(200_000), faults.stall(0));
  delta.next(faults.none, faults.stall(0));
  assert.deepEqual(await restore(), RESTORED);
  assert.deepEqual([base.left, delta.left], [0, 0]);
  base.always(faults.stall(0));
  const { code, message } = await restore();
  assert.equal(code, 'network');
  assert.match(message, /sent nothing/);
});

for (const status of [429, 503]) {
  test(`status ${status}: the server gets the pause that it demands`, async (t) => {
    const { base, delta, restore } = await site(t, PATIENT);
    base.next(faults.status(status, { 'retry-after': '2' }));
    const inThreeSeconds = () => new Date(Date.now() + 3000).toUTCString();
    delta.next(faults.none, (plan) => faults.status(status, { 'retry-after': inThreeSeconds() })(plan));
    assert.deepEqual(await restore(), RESTORED);
    const pause = (log, index) => log[index + 1].at - log[index].at;
    assert.ok(pause(base.log, 0) >= 1990 && pause(base.log, 0) < 5000, `${pause(base.log, 0)} ms`);
    // An HTTP date has whole seconds.
    assert.ok(pause(delta.log, 1) >= 1990 && pause(delta.log, 1) < 6000, `${pause(delta.log, 1)} ms`);
  });
}

test('a server that demands hours is not waited for', async (t) => {
  const { base, restore } = await site(t);
  base.always(faults.status(503, { 'retry-after': '7200' }));
  const { code, status, seconds } = await restore();
  assert.deepEqual({ code, status }, { code: 'network', status: 503 });
  assert.ok(seconds < 5, `${seconds} s`);
  assert.equal(base.log.length, 1);
});

test('permanent failures are not retried', async (t) => {
  const { base, restore } = await site(t);
  for (const status of [401, 403, 404]) {
    base.always(after(1, faults.none, faults.status(status)));
    const requests = base.log.length;
    const error = await restore();
    assert.deepEqual([error.code, error.status], ['network', status]);
    assert.equal(base.log.length - requests, 2);
  }
});

test('a server that stays unreachable is an error', async (t) => {
  const { base, restore } = await site(t, IMPATIENT);
  base.always(faults.hangUp);
  assert.equal((await restore()).code, 'network');
  base.always(after(1, faults.none, faults.cut(0)));
  assert.equal((await restore()).code, 'network');
  base.always(faults.none);
  assert.deepEqual(await restore(), RESTORED);
});

test('an abort does not wait for the server', async (t) => {
  const { base, restore } = await site(t);
  for (const fault of [faults.stall(0), after(1, faults.none, faults.stall(1000)), faults.hangUp]) {
    base.always(fault);
    const { code, seconds } = await restore({ abortAfter: 400 });
    assert.equal(code, 'aborted');
    assert.ok(seconds < 2, `${seconds} s`);
  }
  base.always(faults.none);
  assert.deepEqual(await restore(), RESTORED);
});

test('an empty file is a file', async (t) => {
  const { page } = await site(t);
  env.mounts['/faulty/empty'] = new FaultyFile(Buffer.alloc(0)).mount;
  const found = await page.evaluate(async () => {
    const target = new Blob(['something']);
    const delta = await bitx.compress({ base: '/faulty/empty', target });
    return (await bitx.restore({ base: '/faulty/empty', delta })).text();
  });
  assert.equal(found, 'something');
});
