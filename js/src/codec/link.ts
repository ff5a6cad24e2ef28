import { abortError, answer, BitxError, fromWire, onAbort } from '../common/index.js';
import type { StreamOutput } from './output.js';
import type { FromWorker, Outcome, Request, Role, ToWorker } from './protocol.js';
import type { Mode, Progress } from './types.js';

/**
 * The time limit of each step of the start, in milliseconds. A build that exceeds it counts as
 * unusable here.
 */
const STEP_LIMIT_MS: Record<Mode, number> = { threads: 10_000, pool: 10_000, single: 30_000 };

export interface LinkOptions {
  role: Role;
  mode: Mode;
  threads: number;
  wasmUrl: string | undefined;
  workerUrl: string | undefined;
  signal: AbortSignal | undefined;
}

export interface CallContext {
  stream: StreamOutput | undefined;
  signal: AbortSignal;
  onProgress: ((progress: Progress) => void) | undefined;
  /** Called once the job is open, with the length of the output if it is known. */
  onOpened: ((length: number | undefined) => void) | undefined;
}

type Pending = CallContext & PromiseWithResolvers<Outcome>;

/** The page's end of one worker. A link that has ended cannot be restarted. */
export class Link {
  readonly mode: Mode;
  readonly threads: number;
  readonly #worker: Worker;
  readonly #alarm: BroadcastChannel;
  readonly #calls = new Map<number, Pending>();
  readonly #starting = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextId = 0;
  #ended: BitxError | undefined;

  /** Starts a worker and waits until it has passed its self-test. */
  static async start(options: LinkOptions): Promise<Link> {
    const { signal } = options;
    signal?.throwIfAborted();
    const link = new Link(options);
    const { promise, reject } = link.#starting;
    const forget = signal && onAbort(signal, () => reject(abortError(signal)));
    promise.catch((error: BitxError) => link.end(error));
    await promise.finally(forget);
    return link;
  }

  private constructor({ role, mode, threads, wasmUrl, workerUrl }: LinkOptions) {
    this.mode = mode;
    this.threads = threads;
    const alarm = `bitx-wasm:${Math.random()}`;
    this.#alarm = new BroadcastChannel(alarm);
    this.#alarm.onmessage = ({ data }) => this.#fault(`a thread died: ${data}`);
    this.#extendTime();
    // Bundlers recognise a worker by exactly this expression.
    this.#worker = workerUrl
      ? new Worker(workerUrl, { type: 'module' })
      : new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    this.#worker.onerror = (event) => this.#fault(event.message || 'its script could not be loaded');
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === 'loaded') this.#send({ type: 'start', role, mode, threads, wasmUrl, alarm });
      this.#receive(data);
    };
  }

  /** `true` while calls can be made. */
  get alive(): boolean {
    return !this.#ended;
  }

  /** Runs one operation. After an abort, rejects once the worker has removed its output. */
  async call(request: Request, ports: MessagePort[], context: CallContext): Promise<Outcome> {
    if (this.#ended) throw this.#ended;
    const { signal } = context;
    signal.throwIfAborted();
    const id = this.#nextId++;
    const pending = Promise.withResolvers<Outcome>();
    this.#calls.set(id, { ...context, ...pending });
    const forget = onAbort(signal, () => this.#send({ type: 'abort', id }));
    this.#send({ type: 'call', id, request }, ports);
    try {
      return await pending.promise;
    } finally {
      forget();
      this.#calls.delete(id);
    }
  }

  /** Ends the worker and its threads; all pending calls reject with `error`. */
  end(error: BitxError): void {
    if (this.#ended) return;
    this.#ended = error;
    clearTimeout(this.#timer);
    this.#worker?.terminate();
    this.#alarm.close();
    this.#starting.reject(error);
    for (const { reject } of this.#calls.values()) reject(error);
  }

  #send(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #receive(message: FromWorker): void {
    const call = this.#calls.get((message as { id: number }).id);
    switch (message.type) {
      case 'loaded':
      case 'step':
        this.#extendTime();
        break;
      case 'ready':
        clearTimeout(this.#timer);
        this.#starting.resolve();
        break;
      case 'opened':
        call?.onOpened?.(message.length);
        break;
      case 'progress':
        call?.onProgress?.(message.progress);
        break;
      case 'write':
        void answer(message, () => call?.stream?.write(message.bytes));
        break;
      case 'done':
        call?.resolve(message.outcome);
        break;
      case 'error':
        call?.reject(fromWire(message.error));
        if (message.fatal) this.#fault(message.error.message);
    }
  }

  #fault(message: string): void {
    this.end(new BitxError('internal', `The ${this.mode} build failed: ${message}`));
  }

  #extendTime(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fault('it did not respond in time'), STEP_LIMIT_MS[this.mode]);
  }
}
