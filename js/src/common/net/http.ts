import { type Bytes, free } from '../bytes.js';
import { BitxError } from '../errors.js';
import type { RangeSource } from '../range-source.js';
import { Patience, TRANSFERS } from './patience.js';
import { fetchRange } from './ranges.js';
import { Remote, Restart } from './remote.js';
import type { Transfer } from './transfer.js';

/**
 * The length of the first request in bytes. The core needs as much of every file's beginning, and
 * the answer also tells the size of the file.
 */
const HEAD = 64 << 10;
/** The number of retries until the server has answered for the first time. */
const RETRIES_AT_FIRST = 2;

/** Opens a file on the web; resolves to undefined if it cannot be read by ranges. */
export async function openUrl(url: string, signal: AbortSignal): Promise<RangeSource | undefined> {
  const remote = new Remote({ url, signal, ...TRANSFERS });
  const patience = new Patience({ ...TRANSFERS, retries: RETRIES_AT_FIRST }, signal);
  const answer = await remote.open(HEAD, patience).catch((error: BitxError) => {
    signal.throwIfAborted();
    const rangeless = error instanceof Restart && error.reason === 'rangeless';
    // A request for a range can fail although one for the whole file would succeed: some browsers
    // ask a server of another origin for permission first.
    if (rangeless || (error.code === 'network' && error.status === undefined && !(error instanceof Restart)))
      return undefined;
    throw error;
  });
  if (!answer?.ranged || answer.size === undefined) {
    answer?.transfer.end();
    return undefined;
  }
  const head = await headOf(answer.transfer, Math.min(answer.size, HEAD));
  return rangedFile(url, remote, signal, answer.size, head);
}

/** Requests the whole of a file, with retries until the server answers. */
export async function fetchWhole(url: string, signal: AbortSignal): Promise<Response> {
  const remote = new Remote({ url, signal, ...TRANSFERS });
  const patience = new Patience({ ...TRANSFERS, retries: RETRIES_AT_FIRST }, signal);
  const { transfer } = await patience.run(() => remote.whole());
  return transfer.response;
}

/** Reads the first bytes. If they break off, the rest is requested later like any other range. */
async function headOf(transfer: Transfer, length: number): Promise<Bytes> {
  const head = new Uint8Array(length);
  let at = 0;
  const read = async () => {
    for await (const part of transfer.parts()) {
      head.set(part, at);
      at += part.length;
    }
  };
  await read().catch(() => {});
  return head.subarray(0, at);
}

/** Returns a file whose first bytes, `head`, have already been received. */
function rangedFile(
  url: string,
  remote: Remote,
  signal: AbortSignal,
  size: number,
  head: Bytes,
): RangeSource {
  const read = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    const known = head.subarray(offset, offset + length);
    bytes.set(known);
    const take = (part: Bytes, at: number) => {
      bytes.set(part, at - offset);
      free(part);
    };
    const place = { start: offset + known.length, end: offset + length };
    const patience = new Patience(TRANSFERS, signal);
    await fetchRange({ remote, ...place, patience, take }).catch((error: unknown) => {
      throw error instanceof Restart && error.reason === 'changed' ? changed(url, error) : error;
    });
    return bytes;
  };
  return { size, read };
}

function changed(url: string, { message, ...figures }: Restart): BitxError {
  return new BitxError('changed', `${url} changed while it was being read`, { ...figures, url });
}
