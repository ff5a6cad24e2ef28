import { sleep } from '../abort.js';
import { BitxError, type BitxErrorFigures, messageOf } from '../errors.js';

/** The longest time that a server may send nothing, in milliseconds. */
const STALL_MS = 30_000;
/** The first pause before a new attempt, in milliseconds; each further one is twice as long. */
const PAUSE_MS = 500;
/** The longest pause that a server may demand. If it demands a longer one, the call fails. */
const LONGEST_PAUSE_MS = 120_000;

/** One attempt to fetch something from a server. */
export class Attempt {
  readonly url: string;
  /** Aborted with the call, or when the server has sent nothing for too long. */
  readonly signal: AbortSignal;
  readonly #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The number of bytes received. */
  got = 0;
  /** The pause that the server demands, in milliseconds. */
  pause: number | undefined;

  constructor(url: string, signal: AbortSignal) {
    this.url = url;
    this.signal = AbortSignal.any([signal, this.#stop.signal]);
    this.proceed(0);
  }

  /** Counts received bytes and restarts the time limit. */
  proceed(bytes: number): void {
    this.got += bytes;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stop.abort(this.error('sent nothing')), STALL_MS);
  }

  /** Throws unless the response has the expected status. */
  demand({ status, headers }: Response, expected: number): void {
    if (status === expected) return;
    const after = headers.get('retry-after');
    // Seconds, or a date.
    if (after) this.pause = Number(after) * 1000 || Date.parse(after) - Date.now();
    throw this.error(`answered with status ${status}`, { status, expected });
  }

  error(what: string, figures: BitxErrorFigures & { cause?: unknown } = {}): BitxError {
    return new BitxError('network', `${this.url} ${what}`, { url: this.url, ...figures });
  }

  /** Closes the connection, if it is still open, and stops the time limit. */
  end(): void {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }
}

/**
 * Makes attempts until one succeeds, one fails permanently, or `most` retries in a row have failed.
 * An attempt that receives bytes resets the count.
 */
export async function persist<T>(
  url: string,
  signal: AbortSignal,
  most: number,
  attempt: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    const current = new Attempt(url, signal);
    try {
      return await attempt(current).finally(() => current.end());
    } catch (thrown) {
      signal.throwIfAborted();
      const error: BitxError =
        [current.signal.reason, thrown].find((one) => one instanceof BitxError) ??
        current.error(`could not be fetched: ${messageOf(thrown)}`, { cause: thrown });
      if (current.got) failures = 0;
      const pause = current.pause ?? PAUSE_MS * 2 ** failures * (1 - Math.random() / 2);
      const { code, status } = error;
      const mayPass = code === 'network' && (!status || status >= 500 || [200, 408, 429].includes(status));
      if (!mayPass || failures >= most || pause > LONGEST_PAUSE_MS) throw error;
      await sleep(pause, signal);
    }
  }
}
