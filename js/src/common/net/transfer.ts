import { abortError } from '../abort.js';
import type { Bytes } from '../bytes.js';
import { BitxError, messageOf } from '../errors.js';
import { Transient } from './patience.js';

/** A request, with the limits of its transfer. */
export interface TransferOptions extends RequestInit {
  signal: AbortSignal;
  /** Milliseconds without a byte after which the connection counts as broken. */
  stallTimeout: number;
}

/**
 * One request and its answer. A server that sends nothing for too long counts as unreachable.
 * Requests bypass the browser's cache, where those for the same file wait for each other.
 */
export class Transfer {
  readonly url: string;
  readonly #options: TransferOptions;
  readonly #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  response!: Response;

  /** Sends a request; resolves once the head of the answer has arrived. */
  static async start(url: string, options: TransferOptions): Promise<Transfer> {
    const transfer = new Transfer(url, options);
    const signal = AbortSignal.any([options.signal, transfer.#stop.signal]);
    const request = fetch(url, { ...options, signal, cache: 'no-store' });
    transfer.response = await transfer.#timely(request, 'did not answer');
    return transfer;
  }

  private constructor(url: string, options: TransferOptions) {
    this.url = url;
    this.#options = options;
  }

  /** Yields the parts of the body as they arrive. */
  async *parts(): AsyncGenerator<Bytes, void> {
    const reader = this.response.body?.getReader();
    let found = 0;
    try {
      while (reader) {
        const { done, value } = await this.#timely(reader.read(), `broke off after ${found} bytes`);
        if (done) return;
        found += value.length;
        yield value;
      }
    } finally {
      this.end();
    }
  }

  /** Closes the connection, if it is still open. */
  end(): void {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }

  async #timely<T>(promise: Promise<T>, what: string): Promise<T> {
    const { signal, stallTimeout } = this.#options;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stop.abort(), stallTimeout);
    try {
      return await promise;
    } catch (cause) {
      if (signal.aborted) throw abortError(signal);
      // In Node, files are read in place of a server.
      if (typeof (cause as { code?: unknown } | undefined)?.code === 'string') {
        throw new BitxError('io', `${this.url} could not be read: ${messageOf(cause)}`, { cause });
      }
      const silent = `it sent nothing (no byte for ${stallTimeout / 1000} s)`;
      const why = this.#stop.signal.aborted ? silent : messageOf(cause);
      throw new Transient(`${this.url} ${what}: ${why}`, { url: this.url, cause });
    } finally {
      clearTimeout(this.#timer);
    }
  }
}
