/** Inputs that are read and outputs that are written in pieces, with a model of several windows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faults } from './faulty-file.mjs';
import { largeModels, sentBy, sleep } from './large-models.mjs';
import { environment } from './support.mjs';

const env = environment();
const WINDOW = 16 << 20;
/** 96 MiB, which makes six windows. */
const TENSORS = 12;
const { models, site } = largeModels(env, TENSORS);

test('a stream has its length, and its response a Content-Length', async (t) => {
  const { page } = await site(t);
  const result = await page.evaluate(async () => {
    const { stream, length } = await bitx.restoreStream({ base, delta });
    const digest = await sha256(await new Response(stream).blob());
    const second = await bitx.restoreStream({ base, delta });
    const response = second.response({ status: 206, headers: { 'content-type': 'model/x' } });
    const { status, headers } = response;
    const { size } = await response.blob();
    const get = (name) => headers.get(name);
    return { length, digest, status, headers: [get('content-length'), get('content-type')], size };
  });
  const { length } = models.target;
  const headers = [String(length), 'model/x'];
  assert.deepEqual(result, { length, digest: models.sha256, status: 206, headers, size: length });
});

test('an archive as a stream', async (t) => {
  const { page } = await site(t);
  const result = await page.evaluate(async () => {
    let stats;
    const { length, response } = await bitx.compressStream({
      base,
      target: '/models/target',
      effort: 'fast',
      onStats: (measured) => {
        stats = measured;
      },
    });
    const archive = await response().blob();
    const digests = await Promise.all([archive, delta].map(sha256));
    return { length, same: digests[0] === digests[1], stats: stats.outputBytes === archive.size };
  });
  assert.deepEqual(result, { length: undefined, same: true, stats: true });
});

test('a stream without a reader stops reading its inputs', async (t) => {
  const { page, base } = await site(t);
  await page.evaluate(async () => {
    const { stream } = await bitx.restoreStream({ base, delta });
    globalThis.reader = stream.getReader();
    globalThis.parts = [(await reader.read()).value];
    await sleep(1500);
  });
  const sent = sentBy(base);
  // One window has been read from the stream, one is offered, one is computed and one is read.
  assert.ok(sent <= 4 * WINDOW + 1e6, `${sent} bytes for one window`);
  await sleep(500);
  assert.equal(sentBy(base), sent);
  const digest = await page.evaluate(async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value);
    return sha256(new Blob(parts));
  });
  assert.equal(digest, models.sha256);
});

test('a stream that is cancelled ends the work', async (t) => {
  const { page, base } = await site(t);
  const code = await page.evaluate(async () => {
    const { stream } = await bitx.restoreStream({ base, delta });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel('enough');
    await sleep(300);
  });
  assert.equal(code, undefined);
  const sent = sentBy(base);
  assert.ok(sent < models.base.length, `${sent} bytes`);
  await sleep(500);
  assert.equal(sentBy(base), sent);
  assert.equal(await page.evaluate(async () => sha256(await bitx.restore({ base, delta }))), models.sha256);
});

test('a failure during a stream fails the stream', async (t) => {
  const { page, base } = await site(t);
  const codes = await page.evaluate(async () => {
    const stop = new AbortController();
    const stopped = bitx.restoreStream({ base, delta, signal: stop.signal }).then((restored) => {
      stop.abort();
      return codeOf(drained(restored));
    });
    return {
      damaged: await codeOf(drained(await bitx.restoreStream({ base, delta: await damaged() }))),
      aborted: await stopped,
      unreadable: await codeOf(bitx.restoreStream({ base, delta: new Blob(['<!doctype html>']) })),
    };
  });
  assert.deepEqual(codes, { damaged: 'corrupt', aborted: 'aborted', unreadable: 'format' });
  base.next(faults.none).always(faults.headers({ etag: '"other"' }));
  const changed = await page.evaluate(async () => codeOf(drained(await bitx.restoreStream({ base, delta }))));
  assert.equal(changed, 'changed');
});

test('pending writes of a failed restore do not touch its job', async (t) => {
  const { page } = await site(t);
  // A job that is used after it was freed damages the core's memory, which shows after some rounds.
  const codes = await page.evaluate(async () => {
    const bad = await damaged();
    const codes = new Set();
    for (let round = 0; round < 8; round++) {
      codes.add(await codeOf(drained(await bitx.restoreStream({ base, delta: bad }))));
      codes.add(await codeOf(bitx.restoreStream({ base, delta: new Blob(['<!doctype html>']) })));
    }
    return [...codes, await sha256(await bitx.restore({ base, delta }))];
  });
  assert.deepEqual(codes, ['corrupt', 'format', models.sha256]);
});

test('a waiting stream does not delay other calls', async (t) => {
  const { page } = await site(t);
  const digests = await page.evaluate(async () => {
    const streams = await Promise.all([0, 1].map(() => bitx.restoreStream({ base, delta })));
    const whole = await sha256(await bitx.restore({ base, delta }));
    const readers = streams.map(({ stream }) => stream.getReader());
    const parts = [[], []];
    for (let open = true; open; ) {
      const read = await Promise.all(readers.map((reader) => reader.read()));
      open = !read[0].done;
      for (const [i, { value }] of read.entries()) if (value) parts[i].push(value);
    }
    return [whole, ...(await Promise.all(parts.map((list) => sha256(new Blob(list)))))];
  });
  assert.deepEqual(digests, new Array(3).fill(models.sha256));
});

test('a server that does not answer delays no other call, and the waiting call can be aborted', async (t) => {
  const { page } = await site(t);
  const result = await page.evaluate(async () => {
    const stop = new AbortController();
    const hung = codeOf(bitx.restore({ base: '/net/hang', delta, signal: stop.signal }));
    const digest = await sha256(await bitx.restore({ base, delta }));
    const queue = [0, 1, 2].map((i) =>
      codeOf(bitx.restore({ base, delta, ...(i === 1 && { signal: AbortSignal.timeout(20) }) })),
    );
    const { tensors } = await bitx.inspect(delta);
    const codes = await Promise.all(queue);
    stop.abort();
    return { digest, codes, tensors: tensors.length, hung: await hung };
  });
  const codes = ['it succeeded', 'aborted', 'it succeeded'];
  assert.deepEqual(result, { digest: models.sha256, codes, tensors: TENSORS, hung: 'aborted' });
});

test('inputs from private files, from the page, and from responses', async (t) => {
  const { page } = await site(t);
  const result = await page.evaluate(async () => {
    const folder = await navigator.storage.getDirectory();
    const file = async (name, blob) => {
      const handle = await folder.getFileHandle(name, { create: true });
      await blob.stream().pipeTo(await handle.createWritable());
      return handle;
    };
    const blob = await (await fetch(base)).blob();
    const reads = [];
    const lent = {
      size: blob.size,
      read: async (offset, length, signal) => {
        reads.push({ length, signal });
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      },
    };
    const endless = new Response(blob.stream());
    const inputs = [
      { base: await file('base', blob), delta: await file('delta', delta) },
      { base: lent, delta: new Response(delta) },
      { base: endless, delta },
      { base: await fetch(base), delta },
    ];
    const digests = [];
    for (const input of inputs) digests.push(await sha256(await bitx.restore(input)));
    const longest = Math.max(...reads.map(({ length }) => length));
    return { digests, longest, ended: reads.every(({ signal }) => signal.aborted) };
  });
  assert.deepEqual(result.digests, new Array(4).fill(models.sha256));
  assert.ok(result.longest <= WINDOW + 1e6, `${result.longest} bytes at once`);
  assert.ok(result.ended);
});

test('a source that fails, and one that returns too few bytes', async (t) => {
  const { page } = await site(t);
  const errors = await page.evaluate(async () => {
    const { size } = await (await fetch(base)).blob();
    const outcome = (read) =>
      bitx
        .restore({ base: { size, read }, delta })
        .catch(({ code, file, message }) => ({ code, file, message }));
    return [
      await outcome(async () => Promise.reject(new Error('no such drive'))),
      await outcome(async (_, length) => new Uint8Array(length - 1)),
      await outcome(async () => {
        throw new DOMException('gone', 'NotReadableError');
      }),
    ];
  });
  assert.deepEqual(
    errors.map(({ code, file }) => [code, file]),
    [
      ['io', 'base'],
      ['truncated', 'base'],
      ['io', 'base'],
    ],
  );
  assert.match(errors[0].message, /no such drive/);
});

test('a file that changes on the disk is an error', async (t) => {
  const { page } = await site(t);
  const code = await page.evaluate(async () => {
    const folder = await navigator.storage.getDirectory();
    const handle = await folder.getFileHandle('base', { create: true });
    const write = async (blob) => blob.stream().pipeTo(await handle.createWritable());
    await write(await (await fetch(base)).blob());
    const restored = await bitx.restoreStream({ base: handle, delta });
    const other = new Blob(['something else']);
    // Browsers refuse this while a window is read.
    while ((await write(other).catch(({ name }) => name)) === 'NoModificationAllowedError') await sleep(20);
    return codeOf(drained(restored));
  });
  assert.equal(code, 'io');
});

for (const isolated of [true, false]) {
  test(`a private file gets the model, and is unchanged after a failure, isolated: ${isolated}`, async (t) => {
    const { page } = await site(t, { isolated });
    const result = await page.evaluate(async () => {
      const folder = await navigator.storage.getDirectory();
      const output = await folder.getFileHandle('model', { create: true });
      await bitx.restore({ base, delta, output });
      const code = await codeOf(bitx.restore({ base, delta: await damaged(), output }));
      const names = await Array.fromAsync(folder.keys());
      return { code, names, digest: await sha256(await output.getFile()) };
    });
    assert.deepEqual(result, { code: 'corrupt', names: ['model'], digest: models.sha256 });
  });
}
