import type { Bytes } from '../bytes.js';
import { BitxError, type BitxErrorFigures, messageOf } from '../errors.js';
import { Parts } from '../parts.js';
import type { RangeSource } from '../range-source.js';

/** The number of times in a row that a download may break off without a new byte. */
const MOST_FAILURES = 3;
/**
 * The first pause before a download continues, in milliseconds; each further one is twice as long.
 */
const PAUSE_MS = 500;

type Body = ReadableStream<Bytes>;

/** Called with the number of bytes so far and, if the server tells it, the total. */
export type Report = (loaded: number, total: number | undefined) => void;

/**
 * Returns a response as a file whose beginning can be read while the rest arrives. If the server
 * does not tell the length, resolves only after the last byte.
 */
export async function spool(response: Response, signal: AbortSignal, report: Report): Promise<RangeSource> {
  const { url, status, body } = response;
  const name = url || 'The response';
  if (!response.ok) throw new BitxError('network', `${name} answered with status ${status}`, { url, status });
  if (response.bodyUsed || !body || body.locked) {
    throw new BitxError('invalid-argument', `${name} has no body left to read`, { url });
  }
  const total = declaredLength(response);
  const parts = new Parts();
  let arrival = Promise.withResolvers<void>();
  const take = (bytes: Bytes) => {
    report(parts.size + bytes.length, total);
    parts.add(bytes);
    arrival.resolve();
    arrival = Promise.withResolvers();
  };
  report(0, total);
  const whole = pour(response, total, parts, take, signal).catch((cause: unknown) => {
    const found = parts.size;
    const figures = { url, found, expected: total, cause } as BitxErrorFigures;
    const message = `${name} broke off after ${found} bytes: ${messageOf(cause)}`;
    const error = cause instanceof BitxError ? cause : new BitxError('network', message, figures);
    // Reads that wait for bytes reject with this error. Without one, the rejection is no fault.
    arrival.promise.catch(() => {});
    arrival.reject(error);
    throw error;
  });
  if (total === undefined) await whole;
  else whole.catch(() => {});
  return {
    size: total ?? parts.size,
    read: async (offset, length) => {
      while (parts.size < offset + length) await arrival.promise;
      const range = parts.blob().slice(offset, offset + length);
      return new Uint8Array(await range.arrayBuffer());
    },
  };
}

/**
 * Reads a response to its end. If it breaks off, requests the rest, provided that the rest can be
 * proved to belong to the same file.
 */
async function pour(
  { url, headers, body }: Response,
  total: number | undefined,
  parts: Parts,
  take: (bytes: Bytes) => void,
  signal: AbortSignal,
): Promise<void> {
  // A weak ETag says that two files mean the same, not that their bytes are equal.
  const mark = /^"/.exec(headers.get('etag') ?? '')?.input;
  let from = body as Body | Promise<Body>;
  for (let failures = 0; ; failures++) {
    const before = parts.size;
    try {
      await (await from).pipeTo(new WritableStream({ write: take }), { signal });
      if ((total ?? parts.size) === parts.size) return;
      throw new Error('it ended');
    } catch (cause) {
      if (parts.size > before) failures = 0;
      if (!total || !url || !mark || failures >= MOST_FAILURES || signal.aborted) throw cause;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * 2 ** failures));
    from = rest(url, mark, parts.size, total, signal);
  }
}

/**
 * Requests a file from byte `start` on, and returns the body. Throws if the server sends anything
 * else.
 */
async function rest(
  url: string,
  mark: string,
  start: number,
  total: number,
  signal: AbortSignal,
): Promise<Body> {
  const { headers, body } = await fetch(url, {
    headers: { range: `bytes=${start}-` },
    cache: 'no-store',
    signal,
  });
  const range = headers.get('content-range');
  if (range === `bytes ${start}-${total - 1}/${total}` && headers.get('etag') === mark) return body as Body;
  void body?.cancel();
  throw new Error('the server did not send the rest');
}

/**
 * Returns the declared length; undefined for a compressed transfer, which declares its compressed
 * length.
 */
function declaredLength({ headers }: Response): number | undefined {
  const encoding = headers.get('content-encoding') ?? 'identity';
  const length = headers.get('content-length');
  return length !== null && encoding === 'identity' ? Number(length) : undefined;
}
