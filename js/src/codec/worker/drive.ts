import { type Bytes, free } from '../../common/index.js';
import type { ArchiveInfo, Stats } from '../types.js';
import type { Job } from './core.js';
import { copyOf, inputOf, memoryBytes } from './instance.js';
import type { Read, ReadRange } from './reader.js';
import type { Sink } from './sinks.js';

/** Called after each window with the number of bytes of the model that are done, and of all. */
type Report = (done: number, total: number) => void;

/** The measurements of a job, without the number of threads, which only the host knows. */
type Measured = Omit<Stats, 'threads'>;

export interface Drive {
  job: Job;
  /** Reads a range. Returns undefined if the workers of a pool read it. */
  read(range: Read): ReturnType<ReadRange> | undefined;
  sink: Sink;
  signal: AbortSignal;
  report: Report;
  /** Computes the windows. Default: the job itself. */
  computing?: Computing | undefined;
}

/** Computes the windows of a job. */
export interface Computing {
  /**
   * The number of windows that are read ahead of the current one, and that may be unfinished behind
   * it.
   */
  readonly ahead: number;
  /** The time in the codec so far, in milliseconds. */
  readonly codecMs: number;
  /** Size of the wasm memories of other workers, in bytes. */
  readonly wasmBytes: number;
  /** Computes a window from its inputs, and frees them. Windows must be computed in order. */
  compute(window: number, inputs: (Uint8Array | undefined)[]): Computed | Promise<Computed>;
}

/** The output of a window, or its length if it has been written already. */
export type Computed = Bytes | number;

/** The properties of an open job, as the core reports them. */
export interface Plan {
  windows: number;
  /** Length of the output in bytes; undefined while it is unknown. */
  outputLength?: number;
  /** Bytes of the model that are done after the last window. */
  total: number;
}

/**
 * Gives a job the ranges that it requests, until it is open. Other events are handled meanwhile,
 * even if a file has many tensors.
 */
export async function open(
  job: Pick<Job, 'wants' | 'take' | 'advance'>,
  read: ReadRange,
  signal: AbortSignal,
): Promise<void> {
  for (let wanted = job.wants(); wanted; wanted = job.wants()) {
    const bytes = await read(wanted as Read);
    signal.throwIfAborted();
    job.take(bytes);
    while (job.advance()) {
      await turn();
      signal.throwIfAborted();
    }
  }
}

/**
 * Runs an open job to its end. While a window is computed, the inputs of the next windows are read
 * and the outputs of the previous ones are written.
 */
export async function drive(drive: Drive): Promise<Measured> {
  const { job, read, sink, signal, report, computing = new Alone(job) } = drive;
  const { ahead } = computing;
  signal.throwIfAborted();
  const begun = performance.now();
  const { windows, total } = job.plan() as Plan;
  report(0, total);
  const readAll = (window: number) =>
    quietly(Promise.all(window < windows ? (job.reads(window) as Read[]).map(read) : []));
  let outputBytes = 0;
  let over = false;
  const deliver = async (done: number, computed: Promise<Computed>, before: Promise<void>) => {
    // The failure of an earlier window comes first: jobs that have failed refuse all later windows.
    await before;
    const output = await computed;
    if (over) return;
    if (typeof output === 'number') outputBytes += output;
    else {
      outputBytes += output.length;
      await sink.write(output);
    }
    report(done, total);
  };
  const reading = Array.from({ length: ahead }, (_, window) => readAll(window));
  const deliveries = [Promise.resolve()];
  try {
    for (let window = 0; window < windows; window++) {
      const inputs = (await reading.shift()) as (Uint8Array | undefined)[];
      await turn();
      signal.throwIfAborted();
      reading.push(readAll(window + ahead));
      // Ask before the window is computed, since a job that has failed gives no answers.
      const done = job.progressAfter(window);
      const computed = quietly(Promise.resolve(computing.compute(window, inputs)));
      deliveries.push(quietly(deliver(done, computed, deliveries.at(-1) as Promise<void>)));
      if (deliveries.length > ahead) await deliveries.shift();
    }
    await deliveries.at(-1);
  } finally {
    over = true;
  }
  return {
    outputBytes,
    modelBytes: total,
    codecSeconds: computing.codecMs / 1000,
    totalSeconds: (performance.now() - begun) / 1000,
    wasmBytes: computing.wasmBytes + memoryBytes(),
    archive: job.info() as ArchiveInfo,
  };
}

/** Computes the windows of a job in the job itself. */
class Alone implements Computing {
  readonly ahead = 1;
  readonly wasmBytes = 0;
  codecMs = 0;
  readonly #job: Job;

  constructor(job: Job) {
    this.#job = job;
  }

  compute(window: number, inputs: Uint8Array[]): Computed {
    this.#job.begin(window);
    for (const [index, bytes] of inputs.entries()) supply(this.#job, index, bytes);
    const started = performance.now();
    this.#job.run();
    this.codecMs += performance.now() - started;
    return copyOf(this.#job);
  }
}

/** Copies an input of a window to its place. */
export function placed(job: Job, index: number, bytes: Uint8Array): void {
  inputOf(job, index, bytes.length).set(bytes);
}

/** Copies an input of a window to its place, and frees it. */
export function supply(job: Job, index: number, bytes: Uint8Array): void {
  placed(job, index, bytes);
  free(bytes);
}

/** Keeps a promise from being reported as unhandled if it fails before anything awaits it. */
export function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/**
 * Lets the thread handle other events, such as an abort. Unlike a timer, this takes less than a
 * millisecond.
 */
export function turn(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
