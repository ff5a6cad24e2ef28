import { sleep } from '../abort.js';
import { BitxError, type BitxErrorCode, type BitxErrorFigures } from '../errors.js';

/** The defaults of all transfers; the codec, the cache and the hub share them. */
export const TRANSFERS = {
  /** The number of retries in a row without a new byte. */
  retries: 6,
  /** Milliseconds before the first retry; each further delay is twice as long. */
  retryDelay: 500,
  /** Milliseconds without a byte after which a connection counts as broken. */
  stallTimeout: 30_000,
};

/** The HTTP statuses below 500 of failures that may be temporary; all from 500 on may be. */
const PASSING = [408, 425, 429];
const LONGEST_DELAY_MS = 30_000;
/** The longest pause that a server may demand. If it demands a longer one, the request fails. */
const LONGEST_RETRY_AFTER_MS = 120_000;

/** The number of further tries, and the first delay between them in milliseconds. */
export interface Retries {
  retries: number;
  retryDelay: number;
}

/** A failure that may be temporary, so that a retry makes sense. */
export class Transient extends BitxError {
  readonly delay: number | undefined;

  constructor(message: string, figures: BitxErrorFigures & { cause?: unknown }, delay?: number) {
    super('network', message, figures);
    this.delay = delay;
  }
}

/** Decides if and when a failed operation is tried again. */
export class Patience {
  readonly #settings: Retries;
  readonly #signal: AbortSignal;
  #failures = 0;

  constructor(settings: Retries, signal: AbortSignal) {
    this.#settings = settings;
    this.#signal = signal;
  }

  /** Forgets earlier failures, since the operation has made progress. */
  renew(): void {
    this.#failures = 0;
  }

  /** Runs an action until it succeeds; throws its error if no further try is due. */
  async run<T>(action: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await action();
      } catch (error) {
        await this.after(error);
      }
    }
  }

  /** Waits until the next try is due; throws the error if there is none. */
  async after(error: unknown): Promise<void> {
    const { retries, retryDelay } = this.#settings;
    if (!(error instanceof Transient) || this.#failures >= retries) throw error;
    if ((error.delay ?? 0) > LONGEST_RETRY_AFTER_MS) throw error;
    const doubled = Math.min(retryDelay * 2 ** this.#failures, LONGEST_DELAY_MS);
    this.#failures++;
    // The delay is random, so that many pages that lost the same server do not all return at once.
    await sleep(error.delay ?? doubled * (0.5 + Math.random() / 2), this.#signal);
  }
}

/**
 * Returns the error for an answer whose status is a failure: a `Transient` if a retry makes sense.
 * `delay` is the value of the header `Retry-After`.
 */
export function refusal(
  url: string,
  status: number,
  delay: string | null,
  message = `${url} answered with status ${status}`,
  code: BitxErrorCode = 'network',
): BitxError {
  const figures = { url, status };
  return status >= 500 || PASSING.includes(status)
    ? new Transient(message, figures, retryAfter(delay))
    : new BitxError(code, message, figures);
}

/**
 * Returns the delay that `Retry-After` demands, in milliseconds from now; undefined if it is
 * missing or invalid.
 */
export function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = Number(header) * 1000 || Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
