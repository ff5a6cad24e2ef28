import type { WireError } from '../errors.js';
import { BitxError } from '../index.js';
import type { FromWorker, Operation, Operations, Settings, ToWorker } from './messages.js';
import type { Peer } from './peer.js';
import type { Backend, CacheProgress } from './types.js';

/** How long the worker may take to load, and then to open its store. */
const START_LIMIT_MS = 20_000;

/** What a call has besides its arguments. */
export interface CallContext {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: CacheProgress) => void) | undefined;
  refreshUrl?: ((url: string, status: number) => string | URL | Promise<string | URL>) | undefined;
  /** Parts that the worker pulls. */
  stream?: ReadableStream<Uint8Array> | undefined;
}

interface Pending extends CallContext {
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** The page's end of the cache's worker. */
export class Client {
  readonly #peer: Peer;
  readonly #calls = new Map<number, Pending>();
  readonly #opening = Promise.withResolvers<Backend>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextId = 0;
  #ended: BitxError | undefined;
  backend!: Backend;

  /** Waits until the other end has its store open. */
  static async open(settings: Settings, peer: Peer): Promise<Client> {
    const client = new Client(settings, peer);
    client.backend = await client.#opening.promise;
    return client;
  }

  private constructor(settings: Settings, peer: Peer) {
    this.#limitTime();
    this.#peer = peer;
    this.#peer.onerror = ({ message }) => this.#fail(message || 'its script could not be loaded');
    this.#peer.onmessage = ({ data }) => {
      if (data.type === 'loaded') {
        this.#limitTime();
        this.#send({ type: 'open', settings });
      } else this.#receive(data);
    };
  }

  /** Runs one operation. */
  async call<O extends Operation>(
    operation: O,
    args: Operations[O]['args'],
    context: CallContext = {},
  ): Promise<Operations[O]['result']> {
    if (this.#ended) throw this.#ended;
    const { signal, stream } = context;
    if (signal?.aborted) throw abortError(signal);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const reader = stream?.getReader();
    this.#calls.set(id, { ...context, reader, resolve, reject });
    const abort = () => this.#send({ type: 'abort', id });
    signal?.addEventListener('abort', abort);
    this.#send({ type: 'call', id, operation, args });
    try {
      return (await promise) as Operations[O]['result'];
    } catch (error) {
      reader?.cancel(error).catch(() => {});
      throw error;
    } finally {
      this.#calls.delete(id);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Ends the worker; whatever is pending rejects with `error`. */
  end(error: BitxError): void {
    if (this.#ended) return;
    this.#ended = error;
    clearTimeout(this.#timer);
    this.#peer.terminate();
    this.#opening.reject(error);
    for (const { reject } of this.#calls.values()) reject(error);
  }

  #send(message: ToWorker, transfer: Transferable[] = []): void {
    this.#peer.postMessage(message, transfer);
  }

  #receive(message: Exclude<FromWorker, { type: 'loaded' }>): void {
    if (message.type === 'opened') {
      clearTimeout(this.#timer);
      this.#opening.resolve(message.backend);
    } else if (message.type === 'error' && message.id === undefined) this.end(revive(message.error));
    else this.#answer(message);
  }

  #answer(message: Exclude<FromWorker, { type: 'loaded' | 'opened' }>): void {
    const call = this.#calls.get(message.id ?? -1);
    if (!call) return;
    if (message.type === 'progress') call.onProgress?.(message.progress);
    else if (message.type === 'pull') void this.#supply(message.id, call);
    else if (message.type === 'refused') void this.#refresh(message, call);
    else if (message.type === 'done') call.resolve(message.result);
    else call.reject(message.error.code === 'aborted' ? abortError(call.signal) : revive(message.error));
  }

  /** Sends the next part of the caller's stream, which may fail. */
  async #supply(id: number, { reader, reject }: Pending): Promise<void> {
    try {
      const next = await reader?.read();
      const bytes = next?.value && owned(next.value);
      this.#send({ type: 'part', id, bytes }, bytes ? [bytes.buffer] : []);
    } catch (cause) {
      this.#cancel(id, reject, cause);
    }
  }

  async #refresh(
    { id, url, status }: FromWorker & { type: 'refused' },
    { refreshUrl, reject }: Pending,
  ): Promise<void> {
    try {
      const fresh = (await refreshUrl?.(url, status)) ?? url;
      this.#send({ type: 'address', id, url: absolute(fresh) });
    } catch (cause) {
      this.#cancel(id, reject, cause);
    }
  }

  /** What the caller gave has failed: its own error is the call's. */
  #cancel(id: number, reject: Pending['reject'], cause: unknown): void {
    reject(cause);
    this.#send({ type: 'abort', id });
  }

  #fail(message: string): void {
    const code = this.backend === undefined ? 'start-failed' : 'internal';
    this.end(new BitxError(code, `The cache's worker failed: ${message}`));
  }

  #limitTime(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail('it gave no sign of life'), START_LIMIT_MS);
  }
}

/** A worker would resolve a relative URL against its own address. */
export function absolute(url: string | URL): string {
  return new URL(url, typeof document === 'undefined' ? location.href : document.baseURI).href;
}

/** Bytes whose buffer can be given away whole. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
  return whole ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

export function abortError(signal: AbortSignal | undefined): BitxError {
  return new BitxError('aborted', 'The operation was aborted', { cause: signal?.reason });
}

function revive({ code, message, figures, cause }: WireError): BitxError {
  return new BitxError(code, message, cause ? { ...figures, cause: new Error(cause.message) } : figures);
}
