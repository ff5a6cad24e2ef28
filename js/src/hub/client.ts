import { abortError } from '../cache/client.js';
import { BitxError } from '../index.js';
import type { FromWorker, Operation, Operations, Settings, ToWorker } from './messages.js';

/** How long the worker's script may take to load. */
const START_LIMIT_MS = 20_000;

/** What a call has besides its arguments. */
interface CallContext {
  signal?: AbortSignal | undefined;
  onProgress?: ((loaded: number) => void) | undefined;
}

interface Pending extends CallContext {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** The page's end of the worker that talks with a hub. */
export class Client {
  readonly #worker: Worker;
  readonly #calls = new Map<number, Pending>();
  readonly #loading = Promise.withResolvers<void>();
  readonly #timer: ReturnType<typeof setTimeout>;
  #nextId = 0;
  #loaded = false;
  #ended: BitxError | undefined;

  /** Starts the worker and waits until it listens. */
  static async start(settings: Settings, workerUrl: string | URL | undefined): Promise<Client> {
    if (typeof Worker !== 'function') {
      throw new BitxError('unsupported', 'A BitxHub works in pages and workers that may start workers');
    }
    const client = new Client(settings, workerUrl);
    await client.#loading.promise;
    return client;
  }

  private constructor(settings: Settings, workerUrl: string | URL | undefined) {
    this.#timer = setTimeout(() => this.#fail('it gave no sign of life'), START_LIMIT_MS);
    // Bundlers recognise a worker by exactly this expression.
    this.#worker = workerUrl
      ? new Worker(workerUrl, { type: 'module' })
      : new Worker(new URL('./hub-worker.js', import.meta.url), { type: 'module' });
    this.#worker.onerror = ({ message }) => this.#fail(message || 'its script could not be loaded');
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type !== 'loaded') return this.#answer(data);
      clearTimeout(this.#timer);
      this.#loaded = true;
      this.#send({ type: 'open', settings });
      this.#loading.resolve();
    };
  }

  /** Whether it can be called no more. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Runs one operation. */
  async call<O extends Operation>(
    operation: O,
    args: Operations[O]['args'],
    context: CallContext = {},
  ): Promise<Operations[O]['result']> {
    if (this.#ended) throw this.#ended;
    const { signal } = context;
    if (signal?.aborted) throw abortError(signal);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#calls.set(id, { ...context, resolve, reject });
    const abort = () => this.#send({ type: 'abort', id });
    signal?.addEventListener('abort', abort);
    this.#send({ type: 'call', id, operation, args });
    try {
      return (await promise) as Operations[O]['result'];
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
    this.#worker.terminate();
    this.#loading.reject(error);
    for (const { reject } of this.#calls.values()) reject(error);
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #answer(message: Exclude<FromWorker, { type: 'loaded' }>): void {
    const call = this.#calls.get(message.id);
    if (message.type === 'progress') call?.onProgress?.(message.loaded);
    else if (message.type === 'done') call?.resolve(message.result);
    else {
      const { code, message: text, figures, cause } = message.error;
      call?.reject(new BitxError(code, text, cause ? { ...figures, cause } : figures));
    }
  }

  #fail(message: string): void {
    this.end(
      new BitxError(this.#loaded ? 'internal' : 'start-failed', `The hub's worker failed: ${message}`),
    );
  }
}
