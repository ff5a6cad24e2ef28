import { BitxError, messageOf, onAbort } from './errors.js';
import { Parts } from './parts.js';
import type { RangeSource } from './types.js';

/** Called with the bytes so far and, where the server tells, the bytes to come. */
export type Report = (loaded: number, total: number | undefined) => void;

/**
 * A response as a file whose beginning can be read while the rest arrives. Where the server does not tell its length,
 * there is a file only once it is whole.
 */
export async function spool(response: Response, signal: AbortSignal, report: Report): Promise<RangeSource> {
  const { url, status, body } = response;
  const name = url || 'The response';
  if (!response.ok) throw new BitxError('network', `${name} answered with status ${status}`, { url, status });
  if (response.bodyUsed || !body) {
    throw new BitxError('invalid-argument', `${name} has no body left to read`, { url });
  }
  const total = declaredLength(response);
  const parts = new Parts();
  const reader = body.getReader();
  // Ends even a wait for bytes that never come.
  onAbort(signal, () => void reader.cancel(signal.reason).catch(() => {}));
  let arrival = Promise.withResolvers<void>();
  const pour = async () => {
    report(0, total);
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      parts.add(chunk.value);
      report(parts.size, total);
      arrival.resolve();
      arrival = Promise.withResolvers();
    }
    signal.throwIfAborted();
    if (total !== undefined && parts.size !== total) throw brokenOff(name, url, parts.size, total);
  };
  const whole = pour().catch((cause: unknown) => {
    const error = cause instanceof BitxError ? cause : brokenOff(name, url, parts.size, total, cause);
    // Whoever waits for bytes learns of it; maybe nobody does.
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
      return new Uint8Array(
        await parts
          .blob()
          .slice(offset, offset + length)
          .arrayBuffer(),
      );
    },
  };
}

/** A compressed transfer declares the length of what travels, not of what arrives here. */
function declaredLength({ headers }: Response): number | undefined {
  const encoding = headers.get('content-encoding') ?? 'identity';
  const length = headers.get('content-length');
  return length !== null && encoding === 'identity' ? Number(length) : undefined;
}

function brokenOff(name: string, url: string, found: number, expected?: number, cause?: unknown): BitxError {
  const figures = expected === undefined ? { url, found, cause } : { url, found, expected, cause };
  const of = expected === undefined ? '' : ` of ${expected}`;
  const why = cause === undefined ? '' : `: ${messageOf(cause)}`;
  return new BitxError('network', `${name} broke off after ${found}${of} bytes${why}`, figures);
}
