import { BitxError, type BitxErrorCode, Patience, refusal, Transfer } from '../../common/index.js';
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
    const init = {
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...{ method, headers: { ...this.headers, ...json } },
    };
    const { text } = await patience.run(() => this.#ask(path, signal, init));
    return text === '' ? undefined : parsed(this.address(path), text);
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
    const transfer = await Transfer.start(url, { ...init, signal, stallTimeout: ANSWER_LIMIT_MS });
    const decoder = new TextDecoder();
    let text = '';
    for await (const part of transfer.parts()) text += decoder.decode(part, { stream: true });
    const { ok, status, headers } = transfer.response;
    if (ok) return { headers, text };
    throw refusalOf(url, status, headers.get('retry-after'), text);
  }
}

/** Returns the error for an answer whose status is a failure. */
export function refusalOf(url: string, status: number, delay: string | null, body: string): BitxError {
  const { code = '', message = `it answered with status ${status}` } = said(body);
  return refusal(url, status, delay, `${url}: ${message}`, CODES[code] ?? codeOf(status));
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
