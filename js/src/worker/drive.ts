import { abortError } from '../errors.js';
import type { Sources } from '../protocol.js';
import type { ArchiveInfo, Stats } from '../types.js';
import type { Core, Job } from './core.js';
import { type Read, readAll } from './reader.js';
import type { Sink } from './sinks.js';

/** Called after each window with the model's bytes that are done, and how many there are. */
type Report = (done: number, total: number) => void;

/** What a job can tell of itself; how many threads it had is the host's to know. */
type Measured = Omit<Stats, 'threads'>;

export interface Drive {
  core: Core;
  job: Job;
  sources: Sources;
  sink: Sink;
  signal: AbortSignal;
  report: Report;
}

/** Feeds a job what it asks for until it knows its plan. */
export async function open(job: Job, sources: Sources, signal: AbortSignal): Promise<void> {
  for (let read = job.wants(); read; read = job.wants()) {
    const [bytes] = await readAll(sources, [read as Read]);
    if (signal.aborted) throw abortError(signal);
    job.feed(bytes as Uint8Array);
  }
}

/**
 * Runs a job to its end. While one window is computed, the next one's input is being read and the last one's output
 * is being written.
 */
export async function drive({ core, job, sources, sink, signal, report }: Drive): Promise<Measured> {
  const begun = performance.now();
  await open(job, sources, signal);
  const windows = job.windows();
  report(0, job.progressTotal());
  const read = (window: number) =>
    window < windows ? quietly(readAll(sources, job.reads(window))) : Promise.resolve([]);
  let reading = read(0);
  let writing = Promise.resolve();
  let codec = 0;
  let outputBytes = 0;
  for (let window = 0; window < windows; window++) {
    const inputs = await reading;
    await turn();
    if (signal.aborted) throw abortError(signal);
    reading = read(window + 1);
    codec += compute(job, window, inputs);
    const output = job.output() as Uint8Array<ArrayBuffer>;
    await writing;
    writing = quietly(sink.write(output));
    outputBytes += output.length;
    report(job.progressAfter(window), job.progressTotal());
  }
  await writing;
  return {
    outputBytes,
    modelBytes: job.progressTotal(),
    codecSeconds: codec / 1000,
    totalSeconds: (performance.now() - begun) / 1000,
    wasmBytes: core.memoryBytes(),
    archive: job.info() as ArchiveInfo,
  };
}

/** Computes one window and returns the milliseconds that the codec took. */
function compute(job: Job, window: number, inputs: Uint8Array[]): number {
  job.begin(window);
  for (const [index, bytes] of inputs.entries()) job.supply(index, bytes);
  const started = performance.now();
  job.run();
  return performance.now() - started;
}

/** A promise that may fail before anybody waits for it, without being reported as unhandled. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

const turns = new MessageChannel();
const waiting: (() => void)[] = [];
turns.port1.onmessage = () => waiting.shift()?.();

/** Lets the worker take messages, such as the one that aborts. Unlike a timer it costs no milliseconds. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    turns.port2.postMessage(0);
  });
}
