import type * as Common from '../common/index.js';
import { abortError, answer, type BitxError, onAbort, startWorker, WorkerClient } from '../common/index.js';
import type { StreamOutput } from './output.js';
import { pageName } from './page-name.js';
import type { FromWorker, Operations, Role, Settings } from './protocol.js';
import type { Mode, Progress } from './types.js';

/**
 * The time limit of each step of the start, in milliseconds. A build that exceeds it counts as
 * unusable here.
 */
const STEP_LIMIT_MS: Record<Mode, number> = { threads: 10_000, pool: 10_000, single: 30_000 };

/** The time in milliseconds within which a worker that opens a job must react to an abort. */
const ABORT_LIMIT_MS = 3000;

export interface LinkOptions {
  role: Role;
  mode: Mode;
  threads: number;
  wasmUrl: string | undefined;
  workerUrl: string | URL | undefined;
  signal: AbortSignal | undefined;
}

/** The context of the calls besides their signal and their progress. */
interface Extra {
  stream: StreamOutput | undefined;
  /** `true` once the worker computes windows, between which it hears an abort. */
  begun: boolean;
  /** Called once the job is open, with the length of the output if it is known. */
  onOpened: ((length: number | undefined) => void) | undefined;
}

export type CallContext = Common.CallContext<Progress> & Partial<Extra>;

/** The page's end of one worker of the codec. A link that has ended cannot be restarted. */
export class Link extends WorkerClient<Operations, Progress, undefined, Extra> {
  readonly mode: Mode;
  readonly threads: number;
  readonly #alarm: BroadcastChannel;
  #unheard: ReturnType<typeof setTimeout> | undefined;

  /** Starts a worker and waits until it has passed its self-test. */
  static async start(options: LinkOptions): Promise<Link> {
    const { signal } = options;
    const link = new Link(options);
    const forget = signal && onAbort(signal, () => link.end(abortError(signal)));
    await link.opened.finally(forget);
    return link;
  }

  private constructor({ role, mode, threads, wasmUrl, workerUrl }: LinkOptions) {
    const alarm = `bitx-wasm:${Math.random()}`;
    super({
      name: `${mode} build`,
      ...startWorker({
        name: 'worker.js',
        beside: import.meta.url,
        workerUrl,
        // Bundlers recognise a worker by exactly this expression.
        bundled: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }),
      }),
      settings: { role, mode, threads, wasmUrl, alarm } satisfies Settings,
      stepLimit: STEP_LIMIT_MS[mode],
    });
    this.mode = mode;
    this.threads = threads;
    this.#alarm = new BroadcastChannel(alarm);
    this.#alarm.onmessage = ({ data }) => this.fail(`a thread died: ${data}`);
  }

  /** `true` if the worker was ended without a fault of its mode. */
  get abandoned(): boolean {
    return this.ended?.code === 'aborted';
  }

  /** Ends the worker and its threads; all pending calls reject with `error`. */
  override end(error: BitxError): void {
    super.end(error);
    this.#alarm.close();
    clearTimeout(this.#unheard);
  }

  protected override receive(message: FromWorker): void {
    if (message.type === 'begun') {
      const call = this.calls.get(message.id);
      call?.onOpened?.(message.length);
      if (call) call.begun = true;
    } else if (message.type === 'write') {
      void answer(message, () => this.calls.get(message.id)?.stream?.write(message.bytes));
    } else if (message.type === 'page') void answer(message, pageName);
    else super.receive(message);
  }

  /**
   * Ends a worker that does not hear an abort: while a job opens, that may take long. Other calls
   * begin again on another worker.
   */
  protected override aborted(id: number): void {
    this.#unheard = setTimeout(() => {
      const call = this.calls.get(id);
      if (call && !call.begun) this.end(abortError(call.signal));
    }, ABORT_LIMIT_MS);
  }
}
