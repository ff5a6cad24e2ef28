import { BitxError, messageOf } from './errors.js';
import { Parts } from './parts.js';

/** Called with the bytes so far and, where the server tells, the bytes to come. */
export type Report = (loaded: number, total: number | undefined) => void;

/** Fetches a file into a Blob. */
export async function download(url: string, signal: AbortSignal, report: Report): Promise<Blob> {
  const response = await fetch(url, { signal }).catch((cause: unknown) => {
    throw networkError(`${url} could not be fetched: ${messageOf(cause)}`, { url, cause });
  });
  return collect(response, signal, report);
}

/** Reads a response to its end. One that is not a success, or breaks off, is an error. */
export async function collect(response: Response, signal: AbortSignal, report: Report): Promise<Blob> {
  const { url, status } = response;
  const name = url || 'The response';
  if (!response.ok) {
    throw networkError(`${name} answered with status ${status}`, { url, status });
  }
  if (response.bodyUsed || !response.body) {
    throw new BitxError('invalid-argument', `${name} has no body left to read`, { url });
  }
  const total = declaredLength(response);
  const parts = new Parts();
  const reader = response.body.getReader();
  const cancel = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener('abort', cancel, { once: true });
  try {
    report(0, total);
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      parts.add(chunk.value);
      report(parts.size, total);
    }
  } catch (cause) {
    throw brokenOff(name, url, parts.size, total, cause);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
  if (total !== undefined && parts.size !== total) throw brokenOff(name, url, parts.size, total);
  return parts.finish();
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
  return networkError(`${name} broke off after ${found}${of} bytes`, figures);
}

function networkError(message: string, details: ConstructorParameters<typeof BitxError>[2]): BitxError {
  return new BitxError('network', message, details);
}
