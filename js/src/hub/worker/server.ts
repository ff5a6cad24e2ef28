import {
  abortError,
  BitxError,
  type BitxErrorCode,
  messageOf,
  PASSING,
  Patience,
  retryAfter,
  Transient,
} from '../../common/index.js';
import type { Operations, Settings } from '../messages.js';

/**
 * The time limit for an answer, in milliseconds. It is long, since the server decodes and compares
 * what was sent.
 */
export const ANSWER_LIMIT_MS = 300_000;

/** The codes of this library for the server's codes. */
const CODES: Record<string, BitxErrorCode> = {
  unauthorized: 'unauthorized',
  forbidden: 'forbidden',
  'not-found': 'not-found',
  conflict: 'conflict',
  'too-large': 'limit',
  invalid: 'invalid-argument',
  mismatch: 'integrity',
};

/** The status and the headers of an answer. */
export interface Head {
  status: number;
  header(name: string): string | null;
}

/** Sends requests to a hub, and converts its failures to errors. */
export class Server {
  readonly settings: Settings;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  /** Sends a request with a JSON body, with retries, and returns the JSON answer. */
  async json({ method, path, body }: Operations['request']['args'], signal: AbortSignal): Promise<unknown> {
    const patience = new Patience(this.settings, signal);
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    for (;;) {
      try {
        const { text } = await this.#ask(path, signal, {
          ...(body !== undefined && { body: JSON.stringify(body) }),
          ...{ method, headers: { ...this.headers, ...json } },
        });
        return text === '' ? undefined : parsed(this.address(path), text);
      } catch (error) {
        await patience.after(error);
      }
    }
  }

  /** Returns the offset in bytes at which an upload continues. */
  async offset(path: string, signal: AbortSignal): Promise<number> {
    const { headers } = await this.#ask(path, signal, { method: 'HEAD', headers: this.headers });
    const offset = Number(headers.get('upload-offset') ?? Number.NaN);
    if (Number.isSafeInteger(offset) && offset >= 0) return offset;
    throw new BitxError('network', `${path}: the hub did not tell the offset of the upload`, {
      url: this.address(path),
    });
  }

  address(path: string): string {
    return new URL(path, this.settings.url).href;
  }

  get headers(): Record<string, string> {
    const { token } = this.settings;
    return token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  async #ask(
    path: string,
    signal: AbortSignal,
    init: RequestInit,
  ): Promise<{ headers: Headers; text: string }> {
    const url = this.address(path);
    const stop = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_LIMIT_MS)]);
    const heard = async () => {
      const response = await fetch(url, { ...init, signal: stop, cache: 'no-store' });
      return { response, text: await response.text() };
    };
    const { response, text } = await heard().catch((cause: unknown) => {
      throw signal.aborted
        ? abortError(signal)
        : new Transient(`${url}: ${messageOf(cause)}`, { url, cause });
    });
    const { ok, status, headers } = response;
    if (ok) return { headers, text };
    throw refusal(url, { status, header: (name) => headers.get(name) }, text);
  }
}

/** Returns the error for an answer whose status is a failure. */
export function refusal(url: string, { status, header }: Head, body: string): BitxError {
  const { code = '', message = `it answered with status ${status}` } = said(body);
  const text = `${url}: ${message}`;
  if (PASSING.includes(status))
    return new Transient(text, { url, status }, retryAfter(header('retry-after')));
  return new BitxError(CODES[code] ?? codeOf(status), text, { url, status });
}

function parsed(url: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BitxError('format', `${url} did not answer with JSON: check that it is the address of a hub`, {
      url,
      cause,
    });
  }
}

function said(body: string): { code?: string; message?: string } {
  try {
    return (JSON.parse(body) as { error?: object }).error ?? {};
  } catch {
    return {};
  }
}

/** Returns the code for a status: a proxy may answer without the code of a hub. */
function codeOf(status: number): BitxErrorCode {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  return status === 404 ? 'not-found' : 'network';
}
