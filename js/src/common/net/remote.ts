import { BitxError, type BitxErrorFigures } from '../errors.js';
import { differ, isSame, type Validator, validatorOf } from './identity.js';
import { type Patience, refusal, Transient } from './patience.js';
import { Transfer } from './transfer.js';

/** The reason for which ranges of a file cannot be joined. */
type Reason = keyof typeof REASONS;

const REASONS = {
  changed: 'changed while it was being read',
  rangeless: 'is not sent by ranges',
  wrong: 'is sent by wrong ranges',
};

/** The error after which a file must be read anew, since the ranges read so far are of no use. */
export class Restart extends BitxError {
  readonly reason: Reason;

  constructor(url: string, reason: Reason, figures: BitxErrorFigures = {}, message = REASONS[reason]) {
    super(reason === 'changed' ? reason : 'network', `${url} ${message}`, { url, ...figures });
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
    const answer = await this.#request({ range: `bytes=${start}-${end - 1}` });
    const { response } = answer.transfer;
    try {
      // An empty file has no range.
      if (response.status === 416) {
        throw this.facts ? this.#changed(this.facts.size, 'less') : new Restart(this.url, 'rangeless');
      }
      if (answer.ranged) answer.size = this.#sizeOfRange(response, start, end);
      this.#check(answer);
      return answer;
    } catch (error) {
      answer.transfer.end();
      throw error;
    }
  }

  /** Requests the whole file. */
  whole(): Promise<Answer> {
    return this.#request({});
  }

  /**
   * Returns the error for a wrong range, which is temporary while it may be an accident. `whole`
   * has the status of an answer with the whole file.
   */
  wrongRange(expected: number | string, found: number | string, whole?: { status: number }): BitxError {
    const { url } = this;
    const figures = { url, expected, found, ...whole };
    return ++this.#accidents > MOST_ACCIDENTS
      ? new Restart(url, whole ? 'rangeless' : 'wrong', figures)
      : new Transient(`${url} sent a wrong range: expected ${expected}, found ${found}`, figures);
  }

  /**
   * Called for a request that the server refused for the n-th time in a row; throws unless another
   * request makes sense.
   */
  protected async refused({ url, response: { status, headers } }: Transfer, _times: number): Promise<void> {
    throw refusal(url, status, headers.get('retry-after'));
  }

  async #request(range: Record<string, string>): Promise<Answer> {
    const { stallTimeout, signal } = this.#options;
    const headers = { ...this.#options.headers, ...range };
    for (let times = 1; ; times++) {
      const transfer = await Transfer.start(this.url, { headers, signal, stallTimeout });
      const { status, headers: found } = transfer.response;
      if (status === 200 || (range.range && (status === 206 || status === 416))) {
        const about = { size: declaredLength(found), validator: validatorOf(found) };
        return { transfer, ranged: status === 206, ...about };
      }
      transfer.end();
      await this.refused(transfer, times);
    }
  }

  /** Checks the range of a 206 answer, and returns the size of the whole file. */
  #sizeOfRange({ headers }: Response, start: number, end: number): number {
    const found = headers.get('content-range');
    // Some servers compress ranges, or do not expose the header to other origins.
    if (isEncoded(headers) || found === null) throw new Restart(this.url, 'rangeless');
    const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(found)?.map(Number) ?? [];
    if (first === start && last !== undefined && last >= start && last < end && size !== undefined)
      return size;
    throw this.wrongRange(start, first ?? found);
  }

  /** Checks that an answer agrees with the known facts. */
  #check({ size, validator }: Answer): void {
    const { facts } = this;
    if (!facts) return;
    if (facts.proven && !isSame(facts.validator, validator)) {
      throw this.wrongRange('its version', 'another');
    }
    if (differ(facts.validator, validator)) {
      throw this.#changed(facts.validator.etag, validator.etag);
    }
    if (facts.size !== undefined && size !== undefined && facts.size !== size) {
      throw this.#changed(facts.size, size);
    }
  }

  #changed(expected?: number | string, found?: number | string): Restart {
    return new Restart(this.url, 'changed', { expected, found } as BitxErrorFigures);
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
