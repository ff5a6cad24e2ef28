import { expect, test, vi } from 'vitest';
import { outputKind, StreamOutput, streamOf } from './output.js';

/** Returns a stream that keeps the bytes written to it. */
function collecting(sink: UnderlyingSink<Uint8Array> = {}) {
  const bytes: number[] = [];
  const write = async (part: Uint8Array) => void bytes.push(...part);
  return { bytes, stream: new WritableStream<Uint8Array>({ write, ...sink }) };
}

test('an output is a Blob, a stream, or refused', () => {
  expect(outputKind(undefined)).toBe('blob');
  expect(outputKind(new WritableStream())).toBe('stream');
  expect(() => outputKind({} as never)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});

test('after a rewind, the bytes written before are left out', async () => {
  const { bytes, stream } = collecting();
  const output = new StreamOutput(stream);
  await output.write(Uint8Array.of(1, 2, 3));
  await output.write(Uint8Array.of(4));
  output.rewind();
  // The next worker splits its output elsewhere.
  await output.write(Uint8Array.of(1, 2));
  await output.write(Uint8Array.of(3, 4, 5));
  await output.write(Uint8Array.of(6));
  expect(bytes).toEqual([1, 2, 3, 4, 5, 6]);
});

test('a second rewind leaves out what the first one added, too', async () => {
  const { bytes, stream } = collecting();
  const output = new StreamOutput(stream);
  await output.write(Uint8Array.of(1, 2));
  output.rewind();
  await output.write(Uint8Array.of(1));
  output.rewind();
  await output.write(Uint8Array.of(1, 2, 3));
  expect(bytes).toEqual([1, 2, 3]);
});

test('a stream that fails is an io error, told at once', async () => {
  const cause = new Error('disk full');
  const { stream } = collecting({ write: () => Promise.reject(cause) });
  const output = new StreamOutput(stream);
  await expect(output.write(Uint8Array.of(1))).rejects.toMatchObject({ code: 'io', cause });
  expect(output.failure.reason).toMatchObject({ code: 'io', cause });
});

test('an aborted call does not close its stream', async () => {
  const close = vi.fn();
  const { stream } = collecting({ close });
  await expect(new StreamOutput(stream).close(AbortSignal.abort(new Error('no')))).rejects.toThrow('no');
  expect(close).not.toHaveBeenCalled();
});

test('a stream with another writer is refused', () => {
  const { stream } = collecting();
  stream.getWriter();
  expect(() => new StreamOutput(stream)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});

test('a response tells its length if that is known, and keeps headers', () => {
  const known = streamOf(new ReadableStream(), 3).response({ headers: { 'content-type': 'x/y' } });
  expect(Object.fromEntries(known.headers)).toEqual({ 'content-length': '3', 'content-type': 'x/y' });
  const unknown = streamOf(new ReadableStream(), undefined).response();
  expect(Object.fromEntries(unknown.headers)).toEqual({ 'content-type': 'application/octet-stream' });
});
