import { free } from '../bytes.js';
import { BitxError } from '../errors.js';
import type { RangeSource } from '../range-source.js';
import { type Attempt, persist } from './persist.js';

/**
 * The length of the first request in bytes. The core needs as much of every file's beginning, and
 * the answer also tells the size of the file.
 */
const HEAD = 64 << 10;
/** The number of retries in a row: before the server has answered for the first time, and after. */
const MOST_AT_FIRST = 2;
const MOST = 6;

/** The range that a response holds, and the file that it belongs to. */
interface Extent {
  start: number;
  end: number;
  total: number;
  /** Identifies the version of the file: its ETag or its date. */
  mark: string | null;
}

/** Opens a file on the web; resolves to undefined if it cannot be read by ranges. */
export async function openUrl(url: string, signal: AbortSignal): Promise<RangeSource | undefined> {
  let answered = false;
  const open = async (attempt: Attempt) => {
    const response = await get(attempt, 0, HEAD);
    answered = true;
    const extent = extentOf(response);
    if (extent) {
      part(response, attempt, 0, extent);
      const head = new Uint8Array(Math.min(extent.end, HEAD));
      // If it breaks off, the rest is requested later like any other range.
      await fill(head, response, attempt).catch(() => {});
      return rangedFile(url, signal, extent, head.subarray(0, attempt.got));
    }
    // Without a `Content-Range`, which servers of other origins may hide, the range of the response
    // is unknown. An empty file has no range.
    if (![206, 416].includes(response.status)) attempt.demand(response, 200);
    return undefined;
  };
  return persist(url, signal, MOST_AT_FIRST, open).catch((error: unknown) => {
    signal.throwIfAborted();
    // A request for a range can fail although one for the whole file would succeed: some browsers
    // ask a server of another origin for permission first.
    if (answered) throw error;
    return undefined;
  });
}

/** Returns a file whose first bytes, `head`, have already been received. */
function rangedFile(url: string, signal: AbortSignal, first: Extent, head: Uint8Array): RangeSource {
  const read = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    const known = head.subarray(offset, offset + length);
    bytes.set(known);
    let at = known.length;
    const fetchRest = async (attempt: Attempt) => {
      const response = await get(attempt, offset + at, offset + length);
      const { end } = part(response, attempt, offset + at, first);
      const rest = bytes.subarray(at, end - offset);
      await fill(rest, response, attempt).finally(() => {
        at += attempt.got;
      });
    };
    // A server may send less than was requested.
    while (at < length) await persist(url, signal, MOST, fetchRest);
    return bytes;
  };
  return { size: first.total, read };
}

/** Checks that a response is the requested range of the opened file, and returns its extent. */
function part(response: Response, attempt: Attempt, start: number, first: Extent): Extent {
  if (response.status === 416) throw changed(attempt, first.total, 'less');
  attempt.demand(response, 206);
  const extent = extentOf(response);
  // An empty range would be requested again without end.
  if (extent?.start !== start || extent.end <= start) {
    throw attempt.error('sent another range', { expected: start, found: extent?.start ?? 'nowhere' });
  }
  const { total, mark } = extent;
  if (total !== first.total) throw changed(attempt, first.total, total);
  if (mark && first.mark && mark !== first.mark) throw changed(attempt, first.mark, mark);
  return extent;
}

/** Fills `bytes` from a body; throws if the body is longer or shorter. */
async function fill(bytes: Uint8Array, { body }: Response, attempt: Attempt): Promise<void> {
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    const { value } = chunk;
    if (attempt.got + value.length > bytes.length) throw attempt.error('sent too much');
    bytes.set(value, attempt.got);
    attempt.proceed(value.length);
    free(value);
  }
  const found = attempt.got;
  if (found < bytes.length) throw attempt.error('broke off', { expected: bytes.length, found });
}

/**
 * Requests a range. It bypasses the browser's cache, where requests for the same file wait for each
 * other.
 */
function get({ url, signal }: Attempt, start: number, end: number): Promise<Response> {
  return fetch(url, { headers: { range: `bytes=${start}-${end - 1}` }, cache: 'no-store', signal });
}

/**
 * Returns the range that a response holds; undefined if it does not tell its range or is
 * compressed.
 */
function extentOf({ status, headers }: Response): Extent | undefined {
  const numbers = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '');
  if (status !== 206 || !numbers || (headers.get('content-encoding') ?? 'identity') !== 'identity') return;
  const [start, last, total] = numbers.slice(1).map(Number) as [number, number, number];
  return { start, end: last + 1, total, mark: headers.get('etag') ?? headers.get('last-modified') };
}

function changed({ url }: Attempt, expected: number | string, found: number | string): BitxError {
  return new BitxError('changed', `${url} changed while it was being read`, { url, expected, found });
}
