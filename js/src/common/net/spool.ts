import type { Bytes } from '../bytes.js';
import { BitxError, type BitxErrorFigures, messageOf } from '../errors.js';
import { Parts } from '../parts.js';
import type { RangeSource } from '../range-source.js';
import { isStrong, validatorOf } from './identity.js';
import { Patience, TRANSFERS, Transient } from './patience.js';
import { fetchRange } from './ranges.js';
import { declaredLength, Remote } from './remote.js';

/** The number of retries in a row without a new byte, after which a response is given up. */
const RETRIES = 3;

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
  const total = declaredLength(response.headers);
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
    const error = new BitxError(signal.aborted ? 'aborted' : 'network', message, figures);
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
  const validator = validatorOf(headers);
  const patience = new Patience({ ...TRANSFERS, retries: RETRIES }, signal);
  try {
    await (body as ReadableStream<Bytes>).pipeTo(new WritableStream({ write: take }), { signal });
    if ((total ?? parts.size) === parts.size) return;
    throw new Error('it ended');
  } catch (cause) {
    if (!total || !url || !isStrong(validator) || signal.aborted) throw cause;
    await patience.after(new Transient(messageOf(cause), { url, cause }));
  }
  const remote = new Remote({ url, signal, ...TRANSFERS });
  remote.facts = { size: total, validator, proven: true };
  await fetchRange({ remote, start: parts.size, end: total, patience, take });
}
