import { abortError, fromWire, toWire } from '../errors.js';
import type { FromWorker, Outcome, Request, Source, Sources, StartMessage, ToWorker } from '../protocol.js';
import type { ArchiveInfo } from '../types.js';
import { type Core, type Job, loadCore, startPool } from './core.js';
import { drive, open } from './drive.js';
import { setAlarm } from './pool.js';
import { selfTest } from './self-test.js';
import { blobSink, bytesSink, fileSink, remoteSink, type Sink } from './sinks.js';
import { startReader } from './slices.js';

type HostMessage = Exclude<ToWorker, StartMessage>;

/** Runs operations one after another, so that their memory does not add up. */
export class Host {
  readonly #core: Promise<Core>;
  readonly #threads: number;
  readonly #signals = new Map<number, AbortController>();
  readonly #writes = new Map<number, (message: HostMessage & { type: 'written' }) => void>();
  #queue: Promise<void> = Promise.resolve();

  constructor(message: StartMessage) {
    this.#core = start(message);
    this.#threads = message.threads;
    this.#core.then(
      () => send({ type: 'ready' }),
      (error: unknown) => send({ type: 'error', id: undefined, error: toWire(error), fatal: true }),
    );
  }

  receive(message: HostMessage): void {
    if (message.type === 'call') this.#enqueue(message.id, message.request);
    if (message.type === 'abort') this.#signals.get(message.id)?.abort();
    if (message.type === 'written') this.#writes.get(message.id)?.(message);
  }

  #enqueue(id: number, request: Request): void {
    const controller = new AbortController();
    this.#signals.set(id, controller);
    this.#queue = this.#queue.then(async () => {
      try {
        send({ type: 'done', id, outcome: await this.#perform(id, request, controller.signal) });
      } catch (thrown) {
        const error = toWire(thrown);
        send({ type: 'error', id, error, fatal: error.code === 'internal' });
      } finally {
        this.#signals.delete(id);
        this.#writes.delete(id);
      }
    });
  }

  async #perform(id: number, request: Request, signal: AbortSignal): Promise<Outcome> {
    const core = await this.#core;
    const { operation, sources, options } = request;
    const [length = 0] = sizes(sources, operation === 'compress' ? 'target' : 'delta');
    const job = core.Job.open(operation, sizes(sources, 'base'), length, options);
    if (operation === 'inspect') {
      await open(job, sources, signal);
      return freed(job, { archive: job.info() as ArchiveInfo });
    }
    const sink = await this.#sink(id, request.output, signal);
    const phase = operation === 'compress' ? operation : 'restore';
    const report = (loaded: number, total: number) =>
      send({ type: 'progress', id, progress: { phase, loaded, total } });
    try {
      const measured = await drive({ core, job, sources, sink, signal, report });
      const stats = { ...measured, threads: this.#threads };
      return freed(job, { archive: stats.archive, stats, ...(await sink.close()) });
    } catch (error) {
      await sink.abort().catch(() => {});
      if (toWire(error).code !== 'internal') job.free();
      throw error;
    }
  }

  async #sink(id: number, output: Request['output'], signal: AbortSignal): Promise<Sink> {
    if (output === 'blob') return blobSink();
    if (output === 'bytes') return bytesSink();
    return output === 'stream' ? remoteSink((bytes) => this.#write(id, bytes, signal)) : fileSink(output);
  }

  /** Sends a part to the page and waits until its stream has taken it. */
  #write(id: number, bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      // A stream may never take a part; aborting has to work all the same.
      signal.addEventListener('abort', () => reject(abortError(signal)), { once: true });
      this.#writes.set(id, ({ error }) => {
        if (error) reject(fromWire(error));
        else resolve();
      });
      self.postMessage({ type: 'write', id, bytes } satisfies FromWorker, { transfer: [bytes.buffer] });
    });
  }
}

async function start({ role, mode, threads, wasmUrl, alarm }: StartMessage): Promise<Core> {
  startReader();
  const core = await loadCore(role, mode, wasmUrl);
  send({ type: 'step' });
  if (mode === 'threads') {
    setAlarm(alarm);
    await startPool(threads);
    send({ type: 'step' });
  }
  await selfTest(core, role);
  return core;
}

/** The sizes of a source's files. */
function sizes(sources: Sources, source: Source): Float64Array {
  return Float64Array.from(sources[source] ?? [], ({ size }) => size);
}

function freed<T>(job: Job, result: T): T {
  job.free();
  return result;
}

function send(message: FromWorker): void {
  self.postMessage(message);
}
