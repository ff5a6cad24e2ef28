import { abortable, ask, onAbort, toWire } from '../../common/index.js';
import type { FromWorker, Outcome, Request, StartMessage, ToWorker } from '../protocol.js';
import type { TensorPlace } from '../types.js';
import { Job, Layout, loadCore, startPool } from './core.js';
import { drive, open, type Plan } from './drive.js';
import { startHelper } from './helper.js';
import { ENDED, type Io } from './io.js';
import type { Opening } from './member.js';
import { Pool } from './pool.js';
import { Files, type ReadRange } from './reader.js';
import { selfTest } from './self-test.js';
import { Shared } from './shared.js';
import { blobSink, fileSink, type Sink } from './sinks.js';
import { setAlarm } from './threads.js';

type HostMessage = Exclude<ToWorker, StartMessage>;

/** The operations whose output is small. */
const SMALL: Request['operation'][] = ['inspect', 'layout', 'tensor'];

interface Call {
  id: number;
  request: Request;
  files: Files;
  signal: AbortSignal;
}

/** Runs operations. Those that write whole files do so one after another, so that their memory does not add up. */
export class Host {
  readonly #started: Promise<Pool | undefined>;
  readonly #threads: number;
  readonly #signals = new Map<number, AbortController>();
  readonly #reader = startHelper();
  #writer: Promise<Io> | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(message: StartMessage) {
    this.#threads = message.threads;
    this.#started = start(message);
    this.#started.then(() => send({ type: 'ready' }), fault);
  }

  receive(message: HostMessage): void {
    if (message.type === 'abort') this.#signals.get(message.id)?.abort(ENDED);
    else void this.#perform(message.id, message.request);
  }

  async #perform(id: number, request: Request): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    this.#signals.set(id, controller);
    const files = new Files(await this.#reader);
    onAbort(signal, () => files.close());
    try {
      signal.throwIfAborted();
      await files.open(request.sources);
      const outcome = await this.#inTurn(request, () => this.#run({ id, request, files, signal }));
      send({ type: 'done', id, outcome });
    } catch (thrown) {
      const error = toWire(thrown);
      send({ type: 'error', id, error, fatal: error.code === 'internal' });
    } finally {
      files.close();
      this.#signals.delete(id);
    }
  }

  /** Small outputs and streams do not wait for their turn: a stream may take its next part at any time. */
  #inTurn<T>({ operation, output }: Request, action: () => Promise<T>): Promise<T> {
    if (output === 'stream' || SMALL.includes(operation)) return action();
    const turn = this.#queue.then(action);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Opens the job and runs it. A job that had a fault of ours is not touched again. */
  async #run(call: Call): Promise<Outcome> {
    const pool = await this.#started;
    call.signal.throwIfAborted();
    const { request, files, signal } = call;
    const { operation, options } = request;
    if (operation === 'layout') return { tensors: await tensorsOf(files, signal) };
    const [length = 0] = files.sizes(operation === 'compress' ? 'target' : 'delta');
    const graphs = files.sizes('graph');
    const bases = Float64Array.of(...files.sizes('base'), ...graphs);
    const shared = operation === 'restore' ? pool : undefined;
    const more = { ...options, graphs: graphs.length };
    const opening: Opening = [shared ? 'share' : operation, bases, length, more];
    const job = Job.open(...opening);
    const fed: Uint8Array[] = [];
    const read: ReadRange = async (range) => {
      const bytes = await files.read(range);
      if (shared) fed.push(bytes);
      return bytes;
    };
    try {
      await open(job, read, signal);
      const computing = shared && new Shared(job, shared, await shared.open(opening, fed));
      const outcome =
        operation === 'inspect' ? { archive: job.info() } : await this.#write(job, call, computing);
      job.free();
      return outcome;
    } catch (error) {
      if (toWire(error).code !== 'internal') job.free();
      throw error;
    }
  }

  async #write(job: Job, { id, request, files, signal }: Call, computing?: Shared): Promise<Outcome> {
    send({ type: 'opened', id, length: (job.plan() as Plan).outputLength });
    const phase = request.operation === 'compress' ? 'compress' : 'restore';
    const report = (loaded: number, total: number) =>
      send({ type: 'progress', id, progress: { phase, loaded, total } });
    const sink = await this.#sink(id, request.output, signal);
    try {
      const read: ReadRange = (range) => files.read(range);
      const measured = await drive({ job, read, sink, signal, report, computing });
      const stats = { ...measured, threads: this.#threads };
      return { archive: stats.archive, stats, blob: await sink.close?.() };
    } catch (error) {
      await sink.abort?.().catch(() => {});
      throw error;
    } finally {
      computing?.end();
    }
  }

  async #sink(id: number, output: Request['output'], signal: AbortSignal): Promise<Sink> {
    if (output === 'blob') return blobSink();
    if (output === 'stream') return { write: (bytes) => write(id, bytes, signal) };
    this.#writer ??= startHelper();
    return fileSink(await this.#writer, output);
  }
}

/** Reads the layout of the target. */
async function tensorsOf(files: Files, signal: AbortSignal): Promise<TensorPlace[]> {
  const [length = 0] = files.sizes('target');
  const layout = Layout.open(length);
  try {
    await open(layout, (range) => files.read(range), signal);
  } catch (error) {
    layout.free();
    throw error;
  }
  return layout.tensors() as TensorPlace[];
}

type DedicatedScope = Pick<MessagePort, 'postMessage'>;

/** Sends a part to the page and waits until its stream has taken it, which it may never do. */
function write(id: number, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
  const page = self as unknown as DedicatedScope;
  return abortable(signal, ask<void>(page, { type: 'write', id, bytes }, [bytes.buffer]));
}

/** Loads and tests what a mode needs: for `pool`, the workers too. */
async function start({ role, mode, threads, wasmUrl, alarm }: StartMessage) {
  const module = await loadCore(role, mode, wasmUrl);
  send({ type: 'step' });
  if (mode === 'threads') {
    setAlarm(alarm);
    await startPool(threads);
    send({ type: 'step' });
  }
  await selfTest(role);
  return mode === 'pool'
    ? Pool.start(threads, module, role, () => fault('a worker does not answer'))
    : undefined;
}

/** Tells the page that this mode cannot go on. */
function fault(thrown: unknown): void {
  send({ type: 'error', error: toWire(thrown), fatal: true });
}

function send(message: FromWorker): void {
  self.postMessage(message);
}
