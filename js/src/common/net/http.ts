import { type Bytes, free } from '../bytes.js';
import type { RangeSource } from '../range-source.js';
import { readingAhead } from './ahead.js';
import { Patience, TRANSFERS, Transient } from './patience.js';
import { fetchRange } from './ranges.js';
import { type Answer, Remote, Restart } from './remote.js';

/**
 * The length of the first request in bytes. The core needs as much of every file's beginning, and
 * the answer also tells the size of the file.
 */
const HEAD = 64 << 10;
/** The number of retries until the server has answered for the first time. */
const RETRIES_AT_FIRST = 2;

/** Opens a file on the web; resolves to undefined if it cannot be read by ranges. */
export async function openUrl(url: string, signal: AbortSignal): Promise<RangeSource | undefined> {
  const { remote, patience } = firstContact(url, signal);
  const answer = await remote.open(HEAD, patience).catch((error: unknown) => {
    signal.throwIfAborted();
    // A request for a range can fail although one for the whole file would succeed: some browsers
    // ask a server of another origin for permission first.
    const unanswered = error instanceof Transient && error.status === undefined;
    if (unanswered || (error instanceof Restart && error.reason === 'rangeless')) return undefined;
    throw error;
  });
  if (answer?.ranged) return rangedFile(remote, signal, answer);
  answer?.transfer.end();
  return undefined;
}

/** Requests the whole of a file, with retries until the server answers. */
export async function fetchWhole(url: string, signal: AbortSignal): Promise<Response> {
  const { remote, patience } = firstContact(url, signal);
  const { transfer } = await patience.run(() => remote.whole());
  return transfer.response;
}

function firstContact(url: string, signal: AbortSignal): { remote: Remote; patience: Patience } {
  const settings = { ...TRANSFERS, retries: RETRIES_AT_FIRST };
  return { remote: new Remote({ url, signal, ...settings }), patience: new Patience(settings, signal) };
}

/** Returns a file that is read by ranges. Its beginning, which `first` brings, is kept. */
async function rangedFile(remote: Remote, signal: AbortSignal, first: Answer): Promise<RangeSource> {
  const size = first.size as number;
  let head: Bytes = new Uint8Array(0);
  const read = async (offset: number, length: number, opened?: Answer) => {
    const bytes = new Uint8Array(length);
    const known = head.subarray(offset, offset + length);
    bytes.set(known);
    const take = (part: Bytes, at: number) => {
      bytes.set(part, at - offset);
      free(part);
    };
    const place = { start: offset + known.length, end: offset + length };
    const patience = new Patience(TRANSFERS, signal);
    await fetchRange({ remote, ...place, patience, take }, opened);
    return bytes;
  };
  head = await read(0, Math.min(size, HEAD), first);
  return { size, read: readingAhead(size, { start: 0, bytes: head }, read) };
}
