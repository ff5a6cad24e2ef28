import type { Bytes } from '../../common/index.js';
import type { Role } from '../protocol.js';
import { type Access, openShared, writeAt } from './access.js';
import { Job } from './core.js';
import { type Computed, supply } from './drive.js';
import { copyOf, inputOf, instantiate, memoryBytes, outputOf } from './instance.js';
import { ENDED, reading, requireWhole, writing } from './io.js';
import { PrivateFile, type Snapshot } from './private-file.js';
import type { Read } from './reader.js';
import type { Opening } from './request.js';
import { selfTest } from './self-test.js';

/** The arguments of `load`: `shared` is `true` for the build with threads. */
export type Core = [module: WebAssembly.Module, role: Role, shared: boolean];

interface Shared {
  job: Job;
  /** The base's files that this worker reads. */
  bases: (PrivateFile | undefined)[];
  output?: Access | undefined;
}

const jobs = new Map<number, Shared>();
/** Settles when the windows before have been computed. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * The service of a pool's worker: computes windows on its own instance, for jobs that the host
 * identifies by numbers.
 */
export const member = {
  async load(...[module, role, shared]: Core): Promise<void> {
    instantiate(module, shared);
    await selfTest(role);
  },

  /**
   * Opens a job and feeds it the ranges that the host's own job was fed. The worker then reads some
   * of the base's files itself, and writes the output if it is given.
   */
  async begin(
    key: number,
    opening: Opening,
    fed: Uint8Array[] = [],
    bases: (Snapshot | undefined)[] = [],
    output?: FileSystemFileHandle,
  ): Promise<void> {
    const job = Job.open(...opening);
    const shared: Shared = {
      job,
      bases: bases.map((base) => base && new PrivateFile(base)),
    };
    jobs.set(key, shared);
    for (const bytes of fed) give(job, bytes);
    shared.output = output && (await writing(() => openShared(output, 'readwrite-unsafe')));
  },

  /** Gives a job further ranges. */
  async take(key: number, ranges: Uint8Array[]): Promise<void> {
    const job = jobOf(key);
    for (const bytes of ranges) give(job, bytes);
  },

  /**
   * Searches for the predictions of a window, which `code` then codes. Returns the prediction that
   * the next window begins with; undefined if that is the same as for this window.
   */
  async search(key: number, window: number, inputs: Uint8Array[]): Promise<Uint8Array | undefined> {
    const job = jobOf(key);
    job.begin(window);
    for (const [index, bytes] of inputs.entries()) supply(job, index, bytes);
    return job.search();
  },

  /**
   * Codes the window, given the prediction that it begins with. Returns it, and the size of the
   * wasm memory in bytes.
   */
  async code(key: number, carried: Uint8Array): Promise<[Bytes, number]> {
    const job = jobOf(key);
    job.code(carried);
    return [copyOf(job), memoryBytes()];
  },

  /**
   * Computes a window. Returns its output, or the length of an output that it has written, and the
   * size of the wasm memory in bytes.
   */
  compute(key: number, window: number, inputs: Input[]): Promise<[Computed, number]> {
    const computed = turn.then(() => compute(jobs.get(key) as Shared, window, inputs));
    turn = computed.catch(() => {});
    return computed.then((output) => [output, memoryBytes()]);
  },

  /** Frees a job, and closes its files. Windows that have not begun are not computed. */
  async end(key: number): Promise<void> {
    const shared = jobs.get(key);
    jobs.delete(key);
    await turn;
    for (const file of shared?.bases ?? []) await file?.close();
    shared?.output?.close();
    shared?.job.free();
  },
};

function give(job: Job, bytes: Uint8Array): void {
  job.take(bytes);
  while (job.advance());
}

/** Returns a job that has not ended: a call may arrive after its end. */
function jobOf(key: number): Job {
  const shared = jobs.get(key);
  if (!shared) throw ENDED;
  return shared.job;
}

/** Bytes that the host has read, or undefined for those that this worker reads. */
type Input = Uint8Array | undefined;

async function compute({ job, bases, output }: Shared, window: number, inputs: Input[]): Promise<Computed> {
  for (const [index, { source, file, offset, length }] of (job.begin(window) as Read[]).entries()) {
    const given = inputs[index];
    if (given) supply(job, index, given);
    else {
      const base = bases[file] as PrivateFile;
      const read = () => base.read(offset, length, () => inputOf(job, index, length));
      requireWhole(source, offset, length, await reading(source, read));
    }
  }
  job.run();
  if (!output) return copyOf(job);
  const at = window && job.progressAfter(window - 1);
  const bytes = outputOf(job);
  await writing(() => writeAt(output, bytes, at));
  return bytes.length;
}
