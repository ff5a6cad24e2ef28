import {
  BitxError,
  differ,
  PASSING,
  retryAfter,
  Transient,
  type Validator,
  validatorOf,
} from '../../common/index.js';
import { Transfer } from './transfer.js';

/**
 * The error that restarts a download: the file has changed, or the server's ranges are unreliable.
 */
export class Restart extends BitxError {
  readonly ranges: boolean;

  constructor(url: string, reason: string, ranges: boolean) {
    super('network', `${url} must be downloaded anew: ${reason}`, { url });
    this.ranges = ranges;
  }
}

export interface RemoteOptions {
  url: string;
  headers: Record<string, string>;
  /** Milliseconds without a byte after which a connection counts as broken. */
  stallTimeout: number;
  signal: AbortSignal;
  /** Returns another URL for one that the server refuses. */
  refresh: ((url: string, status: number) => Promise<string>) | undefined;
}

/** The properties of a file that must be the same in all answers. */
export interface Facts {
  size: number | undefined;
  validator: Validator;
}

/** A checked answer, which begins at the requested byte. */
export interface Answer extends Facts {
  transfer: Transfer;
  ranged: boolean;
}

const MOST_REFRESHES = 3;
/**
 * The number of wrong ranges that may be accidents. After one more, the whole file is requested
 * instead.
 */
const MOST_WRONG_RANGES = 2;

/** A file on a server. */
export class Remote {
  readonly #options: RemoteOptions;
  #url: string;
  #refreshing: Promise<string> | undefined;
  #wrongRanges = 0;
  /** The known properties of the file. An answer that contradicts them is a `Restart`. */
  facts: Facts | undefined;

  constructor(options: RemoteOptions) {
    this.#options = options;
    this.#url = options.url;
  }

  /**
   * Requests a range. In the answer, `ranged` is `false` if the server sends the whole file
   * instead.
   */
  async range(start: number, end: number): Promise<Answer> {
    const transfer = await this.#request({ range: `bytes=${start}-${end - 1}` });
    const { status, headers } = transfer.response;
    try {
      // An empty file has no range.
      if (status === 416 && !this.facts) throw new Restart(transfer.url, 'it has no such range', false);
      if (status === 416) throw new Restart(transfer.url, 'it became shorter', true);
      const size = status === 206 ? this.#sizeOfRange(transfer, start, end) : sizeOfWhole(headers);
      return this.#agreed({ transfer, ranged: status === 206, size, validator: validatorOf(headers) });
    } catch (error) {
      transfer.end();
      throw error;
    }
  }

  /** Requests the whole file. */
  async whole(): Promise<Answer> {
    const transfer = await this.#request({});
    const { status, headers } = transfer.response;
    if (status !== 200) {
      transfer.end();
      throw refusal(transfer.url, transfer.response);
    }
    return { transfer, ranged: false, size: sizeOfWhole(headers), validator: validatorOf(headers) };
  }

  async #request(range: Record<string, string>): Promise<Transfer> {
    const { stallTimeout, signal } = this.#options;
    const headers = { ...this.#options.headers, ...range };
    for (let refreshes = 0; ; refreshes++) {
      const url = this.#url;
      const transfer = await Transfer.start(url, { headers, signal, stallTimeout });
      const { response } = transfer;
      if ([200, 206, 416].includes(response.status)) {
        if (response.status !== 416) refuseHtml(url, transfer);
        return transfer;
      }
      transfer.end();
      const refused = response.status === 401 || response.status === 403;
      if (!refused || refreshes >= MOST_REFRESHES || !this.#options.refresh) throw refusal(url, response);
      await this.#refresh(url, response.status);
    }
  }

  /** Gets a new URL. Concurrent transfers are refused at the same time and share one new URL. */
  async #refresh(url: string, status: number): Promise<void> {
    if (url !== this.#url) return;
    this.#refreshing ??= this.#options.refresh?.(url, status);
    try {
      this.#url = (await this.#refreshing) ?? url;
    } finally {
      this.#refreshing = undefined;
    }
  }

  /** Checks the range of a 206 answer, and returns the size of the whole file. */
  #sizeOfRange({ response, url }: Transfer, start: number, end: number): number {
    const { headers } = response;
    if ((headers.get('content-encoding') ?? 'identity') !== 'identity') {
      throw new Restart(url, 'its ranges are compressed', false);
    }
    const found = headers.get('content-range');
    // Servers that do not expose the header to other origins also end up here.
    if (found === null) throw new Restart(url, 'its ranges do not tell where they begin', false);
    const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(found)?.map(Number) ?? [];
    if (first === start && last !== undefined && last >= start && last < end && size !== undefined)
      return size;
    throw this.wrongRange(`bytes ${start}-${end - 1}`, found);
  }

  /** Returns the error for a wrong range, which is temporary while the range may be an accident. */
  wrongRange(expected: string, found: string): BitxError {
    const url = this.#url;
    return ++this.#wrongRanges > MOST_WRONG_RANGES
      ? new Restart(url, 'its ranges are wrong', false)
      : new Transient(`${url} was asked for ${expected} and sent ${found}`, { url, expected, found });
  }

  #agreed(answer: Answer): Answer {
    const { facts } = this;
    if (facts) {
      const { url } = answer.transfer;
      if (differ(facts.validator, answer.validator)) throw new Restart(url, 'it has changed meanwhile', true);
      if (facts.size !== undefined && answer.size !== undefined && facts.size !== answer.size) {
        throw new Restart(url, `it had ${facts.size} bytes and has ${answer.size}`, true);
      }
    }
    return answer;
  }
}

/**
 * Returns the size of a whole file; undefined for a compressed transfer, which declares its
 * compressed length.
 */
function sizeOfWhole(headers: Headers): number | undefined {
  const length = headers.get('content-length');
  const encoding = headers.get('content-encoding') ?? 'identity';
  return length !== null && encoding === 'identity' ? Number(length) : undefined;
}

/** Throws for an HTML page, since sign-in pages and error pages may come with status 200. */
function refuseHtml(url: string, transfer: Transfer): void {
  if (!transfer.response.headers.get('content-type')?.startsWith('text/html')) return;
  transfer.end();
  throw new BitxError('format', `${url} is an HTML page and not a model`, { url });
}

function refusal(url: string, { status, headers }: Response): BitxError {
  const message = `${url} answered with status ${status}`;
  return PASSING.includes(status)
    ? new Transient(message, { url, status }, retryAfter(headers.get('retry-after')))
    : new BitxError('network', message, { url, status });
}
