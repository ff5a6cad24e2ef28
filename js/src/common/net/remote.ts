import { BitxError, type BitxErrorFigures } from '../errors.js';
import { differ, isSame, type Validator, validatorOf } from './identity.js';
import { type Patience, refusal, Transient } from './patience.js';
import { Transfer } from './transfer.js';

/**
 * The reasons for which ranges of a file cannot be joined: the file is `changed`, its server is
 * `rangeless` or hides the places of its ranges, or it sends `wrong` ranges.
 */
type Reason = 'changed' | 'rangeless' | 'wrong';

/** The error after which a file must be read anew, since the ranges read so far are of no use. */
export class Restart extends BitxError {
  readonly reason: Reason;

  constructor(url: string, message: string, reason: Reason, figures: BitxErrorFigures = {}) {
    super('network', `${url} must be downloaded anew: ${message}`, { url, ...figures });
    this.reason = reason;
  }
}

export interface RemoteOptions {
  url: string;
  headers?: Record<string, string>;
  /** Milliseconds without a byte after which a connection counts as broken. */
  stallTimeout: number;
  signal: AbortSignal;
}

/** The properties of a file that must be the same in all answers. */
export interface Facts {
  size: number | undefined;
  validator: Validator;
  /** `true` if every answer must prove its version, and not only name no other one. */
  proven?: boolean;
}

/** A checked answer, which begins at the requested byte. */
export interface Answer extends Facts {
  transfer: Transfer;
  ranged: boolean;
}

/** The number of wrong answers to requests for ranges that may be accidents. */
const MOST_ACCIDENTS = 2;

/** A file on a server. */
export class Remote {
  readonly #options: RemoteOptions;
  protected url: string;
  #accidents = 0;
  /** The known properties of the file. An answer that contradicts them is a `Restart`. */
  facts: Facts | undefined;

  constructor(options: RemoteOptions) {
    this.#options = options;
    this.url = options.url;
  }

  /**
   * Requests the beginning of a file, with retries. The answer also tells the size and the version
   * of the file, which become its facts if the server sends ranges.
   */
  async open(length: number, patience: Patience): Promise<Answer> {
    const answer = await patience.run(() => this.range(0, length));
    const { size, validator, ranged } = answer;
    if (ranged) this.facts = { size, validator };
    return answer;
  }

  /**
   * Requests a range. In the answer, `ranged` is `false` if the server sends the whole file
   * instead.
   */
  async range(start: number, end: number): Promise<Answer> {
    const transfer = await this.#request({ range: `bytes=${start}-${end - 1}` });
    const { status, headers } = transfer.response;
    const { url } = transfer;
    try {
      // An empty file has no range.
      if (status === 416 && !this.facts) throw new Restart(url, 'it has no such range', 'rangeless');
      if (status === 416) throw this.#changed('it became shorter', this.facts?.size, 'less');
      const size = status === 206 ? this.#sizeOfRange(transfer, start, end) : declaredLength(headers);
      return this.#agreed({ transfer, ranged: status === 206, size, validator: validatorOf(headers) });
    } catch (error) {
      transfer.end();
      throw error;
    }
  }

  /** Requests the whole file. */
  async whole(): Promise<Answer> {
    const transfer = await this.#request({});
    const { headers } = transfer.response;
    return { transfer, ranged: false, size: declaredLength(headers), validator: validatorOf(headers) };
  }

  /** Returns the error for a wrong range, which is temporary while it may be an accident. */
  wrongRange(expected: number | string, found: number | string, status?: number): BitxError {
    const url = this.url;
    const figures = { url, expected, found, ...(status !== undefined && { status }) };
    if (++this.#accidents <= MOST_ACCIDENTS) {
      return new Transient(`${url} was asked for ${expected} and sent ${found}`, figures);
    }
    return status === 200
      ? new Restart(url, 'the server no longer sends ranges', 'rangeless', figures)
      : new Restart(url, 'its ranges are wrong', 'wrong', figures);
  }

  /**
   * Called for a request that the server refused for the n-th time in a row; throws unless another
   * request makes sense.
   */
  protected async refused({ url, response: { status, headers } }: Transfer, _times: number): Promise<void> {
    throw refusal(url, { status, retryAfter: headers.get('retry-after') });
  }

  async #request(range: Record<string, string>): Promise<Transfer> {
    const { stallTimeout, signal } = this.#options;
    const headers = { ...this.#options.headers, ...range };
    for (let times = 1; ; times++) {
      const transfer = await Transfer.start(this.url, { headers, signal, stallTimeout });
      const { status } = transfer.response;
      if (status === 200 || (range.range && (status === 206 || status === 416))) {
        refuseHtml(transfer);
        return transfer;
      }
      transfer.end();
      await this.refused(transfer, times);
    }
  }

  /** Checks the range of a 206 answer, and returns the size of the whole file. */
  #sizeOfRange({ response, url }: Transfer, start: number, end: number): number {
    const { headers } = response;
    if (isEncoded(headers)) throw new Restart(url, 'its ranges are compressed', 'rangeless');
    const found = headers.get('content-range');
    // Servers that do not expose the header to other origins also end up here.
    if (found === null) throw new Restart(url, 'its ranges do not tell where they begin', 'rangeless');
    const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(found)?.map(Number) ?? [];
    if (first === start && last !== undefined && last >= start && last < end && size !== undefined)
      return size;
    throw this.wrongRange(start, first ?? found);
  }

  #agreed(answer: Answer): Answer {
    const { facts } = this;
    if (!facts) return answer;
    const { size, validator } = answer;
    if (facts.proven && !isSame(facts.validator, validator)) {
      throw this.wrongRange('the same version', 'another or an unknown one');
    }
    if (differ(facts.validator, validator)) {
      throw this.#changed('it has changed meanwhile', facts.validator.etag, validator.etag);
    }
    if (facts.size !== undefined && size !== undefined && facts.size !== size) {
      throw this.#changed(`it had ${facts.size} bytes and has ${size}`, facts.size, size);
    }
    return answer;
  }

  #changed(message: string, expected?: number | string, found?: number | string): Restart {
    const figures = { expected, found } as BitxErrorFigures;
    return new Restart(this.url, message, 'changed', figures);
  }
}

/**
 * Returns the declared length of a whole file; undefined for a compressed transfer, which declares
 * its compressed length.
 */
export function declaredLength(headers: Headers): number | undefined {
  const length = headers.get('content-length');
  return length !== null && !isEncoded(headers) ? Number(length) : undefined;
}

function isEncoded(headers: Headers): boolean {
  return (headers.get('content-encoding') ?? 'identity') !== 'identity';
}

/** Throws for an HTML page, since sign-in pages and error pages may come with status 200. */
function refuseHtml(transfer: Transfer): void {
  const { url, response } = transfer;
  const isHtml = response.headers.get('content-type')?.startsWith('text/html');
  if (response.status === 416 || !isHtml) return;
  transfer.end();
  throw new BitxError('format', `${url} is an HTML page and not a model`, { url });
}
