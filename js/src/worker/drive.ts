import { free } from '../free.js';
import type { ArchiveInfo, Stats } from '../types.js';
import { type Job, memoryBytes } from './core.js';
import type { Read, ReadRange } from './reader.js';
import type { Sink } from './sinks.js';

/** Called after each window with the model's bytes that are done, and how many there are. */
type Report = (done: number, total: number) => void;

/** What a job can tell of itself; how many threads it had is the host's to know. */
type Measured = Omit<Stats, 'threads'>;

export interface Drive {
  job: Job;
  read: ReadRange;
  sink: Sink;
  signal: AbortSignal;
  report: Report;
}

/** What came of one window, and how many milliseconds the codec took for it. */
interface Computed {
  output: Uint8Array<ArrayBuffer>;
  codec: number;
}

/** Feeds a job what it asks for until it knows its plan. */
export async function open(job: Job, read: ReadRange, signal: AbortSignal): Promise<void> {
  for (let wanted = job.wants(); wanted; wanted = job.wants()) {
    const bytes = await read(wanted as Read);
    signal.throwIfAborted();
    job.feed(bytes);
  }
}

/**
 * Runs an opened job to its end. While one window is computed, the next one's input is being read and the last one's
 * output is being written.
 */
export async function drive({ job, read, sink, signal, report }: Drive): Promise<Measured> {
  signal.throwIfAborted();
  const begun = performance.now();
  const windows = job.windows();
  const total = job.progressTotal();
  report(0, total);
  const readAll = (window: number) =>
    quietly(Promise.all(window < windows ? (job.reads(window) as Read[]).map(read) : []));
  let reading = readAll(0);
  let writing = Promise.resolve();
  let codec = 0;
  let outputBytes = 0;
  for (let window = 0; window < windows; window++) {
    const inputs = await reading;
    await turn();
    signal.throwIfAborted();
    reading = readAll(window + 1);
    const computed = compute(job, window, inputs);
    codec += computed.codec;
    outputBytes += computed.output.length;
    await writing;
    writing = quietly(sink.write(computed.output));
    report(job.progressAfter(window), total);
  }
  await writing;
  return {
    outputBytes,
    modelBytes: total,
    codecSeconds: codec / 1000,
    totalSeconds: (performance.now() - begun) / 1000,
    wasmBytes: memoryBytes(),
    archive: job.info() as ArchiveInfo,
  };
}

/** Computes one window, and lets go of its input. */
function compute(job: Job, window: number, inputs: Uint8Array[]): Computed {
  job.begin(window);
  for (const [index, bytes] of inputs.entries()) {
    job.supply(index, bytes);
    free(bytes);
  }
  const started = performance.now();
  job.run();
  const codec = performance.now() - started;
  return { output: job.output() as Uint8Array<ArrayBuffer>, codec };
}

/** A promise that may fail before anybody waits for it, without being reported as unhandled. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Lets the worker take messages, such as the one that aborts. Unlike a timer it costs no milliseconds. */
function turn(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
