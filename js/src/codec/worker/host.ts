import type * as Common from '../../common/index.js';
import { type Call, onAbort, toWire, type WireError, WorkerHost } from '../../common/index.js';
import type { FromWorker, Operations, Outcome, Request, Settings } from '../protocol.js';
import type { Progress } from '../types.js';
import { Apart } from './apart.js';
import { privateBlob, removeLeftovers } from './blob-file.js';
import { Job, loadCore, startPool } from './core.js';
import { drive, open, type Plan } from './drive.js';
import { startHelper } from './helper.js';
import type { Io } from './io.js';
import { withoutJob } from './layouts.js';
import { Pool } from './pool.js';
import { Files, type Read, type ReadRange } from './reader.js';
import { type Opening, openingOf } from './request.js';
import { selfTest } from './self-test.js';
import { Shared } from './shared.js';
import { blobSink, fileSink, type Sink } from './sinks.js';
import { setAlarm } from './threads.js';

/** The operations whose output is small. */
const SMALL: Request['operation'][] = ['inspect', 'layout', 'manifest', 'plan', 'tensor'];

/** The time limit for a pool to start in mode `threads`, in milliseconds. */
const POOL_LIMIT_MS = 5000;

interface Running extends Common.Running<Progress> {
  request: Request;
  files: Files;
}

/**
 * Runs operations. Those that write whole files run one after another, so that their memory does
 * not add up.
 */
export class Host extends WorkerHost<Settings, Operations, Progress> {
  /** The workers of a pool, if there are any: in mode `threads`, once they have started. */
  #pool: Promise<Pool | undefined> | Pool | undefined;
  #threads = 1;
  /** The number of threads of this worker's own instance. */
  #own = 1;
  #reader: Promise<Io> | undefined;
  #writer: Promise<Io> | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  /** Loads and tests the parts that a mode needs: for `pool`, also the workers. */
  protected async open({ role, mode, threads, wasmUrl, alarm }: Settings): Promise<undefined> {
    this.#threads = threads;
    if (mode === 'threads') this.#own = threads;
    if (role === 'restore') removeLeftovers().catch(() => {});
    this.#reader = startHelper();
    const module = await loadCore(role, mode, wasmUrl);
    this.send({ type: 'step' } satisfies FromWorker);
    if (mode === 'threads') {
      setAlarm(alarm);
      await startPool(threads);
      this.send({ type: 'step' } satisfies FromWorker);
    }
    await selfTest(role);
    // Threads compress each window together.
    if (mode === 'pool' || (mode === 'threads' && role === 'restore')) {
      const dead = () => this.fail('a worker does not answer');
      const pool = Pool.start(threads, [module, role, mode === 'threads'], dead);
      this.#pool = mode === 'pool' ? await pool : inTime(pool);
    }
  }

  /** Returns `true` for a fault of the wasm, whose instance cannot be trusted any more. */
  protected override isFatal({ code }: WireError): boolean {
    return code === 'internal';
  }

  protected async perform(
    { args: request }: Call<Operations>,
    running: Common.Running<Progress>,
  ): Promise<Outcome> {
    const { signal } = running;
    const files = new Files(await (this.#reader as Promise<Io>));
    onAbort(signal, () => void files.close());
    try {
      signal.throwIfAborted();
      await files.open(request.sources);
      return await this.#inTurn(request, () => this.#run({ ...running, request, files }));
    } finally {
      await files.close();
    }
  }

  /**
   * Runs an action when its turn has come. Small outputs and streams do not wait: a stream may take
   * its next part at any time.
   */
  #inTurn<T>({ operation, output }: Request, action: () => Promise<T>): Promise<T> {
    if (output === 'stream' || SMALL.includes(operation)) return action();
    const turn = this.#queue.then(action);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Opens the job and runs it. A job with an internal fault is not touched again. */
  async #run(running: Running): Promise<Outcome> {
    const { request, files, signal } = running;
    signal.throwIfAborted();
    const { operation } = request;
    const known = await withoutJob(request, files, signal);
    if (known) return known;
    const pool = isPooled(request) ? await this.#pool : undefined;
    const opening = await openingOf(request, files, pool && operation === 'restore' ? 'share' : operation);
    const job = Job.open(...opening);
    try {
      const pooled = await openPooled(job, pool, opening, running);
      const outcome =
        operation === 'inspect' ? { archive: job.info() } : await this.#write(job, running, pooled);
      job.free();
      return outcome;
    } catch (error) {
      if (toWire(error).code !== 'internal') job.free();
      throw error;
    }
  }

  async #write(job: Job, running: Running, pooled?: Shared | Apart): Promise<Outcome> {
    const shared = pooled instanceof Shared ? pooled : undefined;
    const { id, request, files, signal } = running;
    const length = (job.plan() as Plan).outputLength;
    this.send({ type: 'begun', id, length } satisfies FromWorker);
    const phase = request.operation === 'tensor' ? 'restore' : (request.operation as Progress['phase']);
    const report = (loaded: number, total: number) => running.report({ phase, loaded, total });
    const sink = await this.#sink(running, length, shared !== undefined);
    const bases = shared ? files.snapshots('base') : [];
    const compute = async () => {
      await shared?.open(bases, sink.part);
      const read = (range: Read) =>
        range.source === 'base' && bases[range.file] ? undefined : files.read(range);
      return drive({ job, read, sink, signal, report, computing: pooled });
    };
    try {
      const measured = await compute().finally(() => pooled?.end());
      // The output may replace an input, which must not be open then.
      await files.close();
      const threads = pooled ? this.#threads : this.#own;
      return { stats: { ...measured, threads }, blob: await sink.close?.() };
    } catch (error) {
      await sink.abort?.().catch(() => {});
      throw error;
    }
  }

  /** Opens the destination of an output, to which the workers of a pool may write if it is `shared`. */
  async #sink({ id, request, signal }: Running, length: number | undefined, shared: boolean): Promise<Sink> {
    const { operation, output } = request;
    if (output === 'stream')
      return { write: (bytes) => this.ask({ type: 'write', id, bytes }, signal, [bytes.buffer]) };
    const io = () => {
      this.#writer ??= startHelper();
      return this.#writer;
    };
    if (output !== 'blob') return fileSink(await io(), output, shared ? length : undefined);
    const pageOf = () => this.ask<string | undefined>({ type: 'page' }, signal);
    const size = operation === 'tensor' ? undefined : length;
    return (size && (await privateBlob(io, size, pageOf))) || blobSink();
  }
}

/** Returns `true` if the windows of an operation run in any order: all but those that write v1. */
function isPooled({ operation, options: { format, level } }: Request): boolean {
  return operation === 'restore' || (operation === 'compress' && format !== 'v1' && level === undefined);
}

/** Opens a job, and if there is a pool prepares it for the job's windows. */
async function openPooled(
  job: Job,
  pool: Pool | undefined,
  opening: Opening,
  { request, files, signal }: Running,
): Promise<Shared | Apart | undefined> {
  const apart = pool && request.operation === 'compress' ? new Apart(job, pool, opening) : undefined;
  const given: Uint8Array[] = [];
  const read: ReadRange = async (range) => {
    const bytes = await files.read(range);
    if (apart) await apart.take(bytes);
    else if (pool) given.push(bytes);
    return bytes;
  };
  try {
    await open(job, read, signal);
  } catch (error) {
    await apart?.end();
    throw error;
  }
  return apart ?? (pool && new Shared(job, pool, [opening, given]));
}

/** Returns a pool once it has started. If it does not start in time, threads do without. */
function inTime(pool: Promise<Pool>): Promise<Pool | undefined> {
  const late = new Promise<undefined>((resolve) => setTimeout(resolve, POOL_LIMIT_MS));
  return Promise.race([pool, late]).catch(() => undefined);
}
