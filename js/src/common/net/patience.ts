import { sleep } from '../abort.js';
import { BitxError, type BitxErrorFigures } from '../errors.js';

/** The statuses of failures that may pass. */
export const PASSING = [408, 425, 429, 500, 502, 503, 504];
const LONGEST_DELAY_MS = 30_000;
/** A server that wants to be left alone for longer than this is not waited for. */
const LONGEST_RETRY_AFTER_MS = 120_000;

/** The number of further tries, and the first delay between them in milliseconds. */
export interface Retries {
  retries: number;
  retryDelay: number;
}

/** A failure that may pass. */
export class Transient extends BitxError {
  readonly delay: number | undefined;

  constructor(message: string, figures: BitxErrorFigures & { cause?: unknown }, delay?: number) {
    super('network', message, figures);
    this.delay = delay;
  }
}

/** Decides whether and when something that has failed is tried again. */
export class Patience {
  readonly #settings: Retries;
  readonly #signal: AbortSignal;
  #failures = 0;

  constructor(settings: Retries, signal: AbortSignal) {
    this.#settings = settings;
    this.#signal = signal;
  }

  /** Something has got further. */
  renew(): void {
    this.#failures = 0;
  }

  /** Waits until the next try is due; throws the error where there is none. */
  async after(error: unknown): Promise<void> {
    const { retries, retryDelay } = this.#settings;
    if (!(error instanceof Transient) || this.#failures >= retries) throw error;
    if ((error.delay ?? 0) > LONGEST_RETRY_AFTER_MS) throw error;
    const doubled = Math.min(retryDelay * 2 ** this.#failures, LONGEST_DELAY_MS);
    this.#failures++;
    // Many pages that lost the same server should not all come back at the same moment.
    await sleep(error.delay ?? doubled * (0.5 + Math.random() / 2), this.#signal);
  }
}

/** The delay that `Retry-After` asks for, in milliseconds from now. */
export function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds * 1000);
}
