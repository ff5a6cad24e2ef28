import { expect, test, vi } from 'vitest';
import { spool } from './spool.js';

const { signal } = new AbortController();
const quiet = () => {};

/** Returns a response of some bytes that has a URL; `broken` makes it fail after the bytes. */
function response(bytes: number[], headers: Record<string, string>, { status = 200, broken = false } = {}) {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(Uint8Array.from(bytes));
      if (!broken) controller.close();
    },
    pull(controller) {
      controller.error(new TypeError('the connection broke'));
    },
  });
  return Object.defineProperty(new Response(body, { status, headers }), 'url', { value: 'https://a/model' });
}

test('a response is a file of its declared length', async () => {
  const file = await spool(response([1, 2, 3, 4], { 'content-length': '4' }), signal, quiet);
  expect(file.size).toBe(4);
  expect(await file.read(1, 2, signal)).toEqual(Uint8Array.of(2, 3));
});

test('without a length, or with the length of compressed bytes, a response is a file once it is complete', async () => {
  const reports: unknown[] = [];
  const encoded = { 'content-length': '2', 'content-encoding': 'gzip' };
  const file = await spool(response([1, 2, 3], encoded), signal, (...report) => reports.push(report));
  expect(file.size).toBe(3);
  expect(reports).toEqual([
    [0, undefined],
    [3, undefined],
  ]);
});

test('if it breaks off, the rest of the same file is requested', async () => {
  const fetched = vi.fn(async (_url: string, _init: RequestInit) =>
    response([3, 4], { 'content-range': 'bytes 2-3/4', etag: '"a"' }, { status: 206 }),
  );
  vi.stubGlobal('fetch', fetched);
  const first = response([1, 2], { 'content-length': '4', etag: '"a"' }, { broken: true });
  const file = await spool(first, signal, quiet);
  expect(await file.read(0, 4, signal)).toEqual(Uint8Array.of(1, 2, 3, 4));
  expect(fetched.mock.calls[0]?.[1].headers).toEqual({ range: 'bytes=2-3' });
});

test('the rest of another version is not taken', async () => {
  vi.stubGlobal('fetch', async () =>
    response([3, 4], { 'content-range': 'bytes 2-3/4', etag: '"b"' }, { status: 206 }),
  );
  vi.stubGlobal('setTimeout', (action: () => void) => queueMicrotask(action));
  const first = response([1, 2], { 'content-length': '4', etag: '"a"' }, { broken: true });
  const file = await spool(first, signal, quiet);
  await expect(file.read(0, 4, signal)).rejects.toMatchObject({ code: 'network', found: 2, expected: 4 });
});

test('a weak ETag does not prove that the rest belongs to it', async () => {
  const fetched = vi.fn();
  vi.stubGlobal('fetch', fetched);
  const first = response([1, 2], { 'content-length': '4', etag: 'W/"a"' }, { broken: true });
  const file = await spool(first, signal, quiet);
  await expect(file.read(0, 4, signal)).rejects.toMatchObject({ code: 'network' });
  expect(fetched).not.toHaveBeenCalled();
});

test('a response that failed, or was read before, is refused', async () => {
  const missing = response([], {}, { status: 404 });
  await expect(spool(missing, signal, quiet)).rejects.toMatchObject({ code: 'network', status: 404 });
  const used = new Response('all');
  await used.text();
  await expect(spool(used, signal, quiet)).rejects.toMatchObject({ code: 'invalid-argument' });
});
