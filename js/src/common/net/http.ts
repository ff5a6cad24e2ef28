import { free } from '../bytes.js';
import { BitxError } from '../errors.js';
import type { RangeSource } from '../range-source.js';
import { type Attempt, persist } from './persist.js';

/** As much as the core asks for first: a file's beginning tells how long it is and is needed anyway. */
const HEAD = 64 << 10;
/** Failures in a row before a file counts as out of reach: before the server has answered once, and after. */
const MOST_AT_FIRST = 2;
const MOST = 6;

/** The facts that a server tells about the file of a partial answer. */
interface Extent {
  start: number;
  end: number;
  total: number;
  /** By which a file is recognised. */
  mark: string | null;
}

/** Opens a file on the web; undefined where parts of it cannot be had. */
export async function openUrl(url: string, signal: AbortSignal): Promise<RangeSource | undefined> {
  let answered = false;
  const open = async (attempt: Attempt) => {
    const response = await get(attempt, 0, HEAD);
    answered = true;
    const extent = extentOf(response);
    if (extent) {
      part(response, attempt, 0, extent);
      const head = new Uint8Array(Math.min(extent.end, HEAD));
      // Should it break off, the rest is asked for as any other part.
      await fill(head, response, attempt).catch(() => {});
      return rangedFile(url, signal, extent, head.subarray(0, attempt.got));
    }
    // Without a `Content-Range` that may be read, as from another origin, nobody knows which part this is. An empty file
    // has no part.
    if (![206, 416].includes(response.status)) attempt.demand(response, 200);
    return undefined;
  };
  return persist(url, signal, MOST_AT_FIRST, open).catch((error: unknown) => {
    signal.throwIfAborted();
    // A request for a part can fail where one for the file does not: some browsers ask another origin for leave first.
    if (answered) throw error;
    return undefined;
  });
}

/** Reads a file whose first bytes, `head`, have been received already. */
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
    // A server may send less than it was asked for.
    while (at < length) await persist(url, signal, MOST, fetchRest);
    return bytes;
  };
  return { size: first.total, read };
}

/** Makes sure that a response is the part that was asked for, of the file that was opened. */
function part(response: Response, attempt: Attempt, start: number, first: Extent): Extent {
  if (response.status === 416) throw changed(attempt, first.total, 'less');
  attempt.demand(response, 206);
  const extent = extentOf(response);
  // A part without a byte would be asked for again for ever.
  if (extent?.start !== start || extent.end <= start) {
    throw attempt.error('sent another part', { expected: start, found: extent?.start ?? 'nowhere' });
  }
  const { total, mark } = extent;
  if (total !== first.total) throw changed(attempt, first.total, total);
  if (mark && first.mark && mark !== first.mark) throw changed(attempt, first.mark, mark);
  return extent;
}

/** Fills `bytes` from a body, which must have as many. */
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

/** Asks for a part. Browsers would keep parts in their cache, and there one request waits for the other. */
function get({ url, signal }: Attempt, start: number, end: number): Promise<Response> {
  return fetch(url, { headers: { range: `bytes=${start}-${end - 1}` }, cache: 'no-store', signal });
}

/** The part that a response says it is; undefined if it does not say, or holds something encoded. */
function extentOf({ status, headers }: Response): Extent | undefined {
  const numbers = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '');
  if (status !== 206 || !numbers || (headers.get('content-encoding') ?? 'identity') !== 'identity') return;
  const [start, last, total] = numbers.slice(1).map(Number) as [number, number, number];
  return { start, end: last + 1, total, mark: headers.get('etag') ?? headers.get('last-modified') };
}

function changed({ url }: Attempt, expected: number | string, found: number | string): BitxError {
  return new BitxError('changed', `${url} changed while it was being read`, { url, expected, found });
}
