import type { Job } from './core.js';
import type { Computed, Computing } from './drive.js';
import { inputOf } from './instance.js';
import type { Pool } from './pool.js';
import type { Snapshot } from './private-file.js';
import type { Read } from './reader.js';
import type { Opening } from './request.js';

let nextKey = 0;

/** A job whose windows are computed by a pool. */
export class Shared implements Computing {
  readonly ahead: number;
  readonly #job: Job;
  readonly #pool: Pool;
  readonly #key = nextKey++;
  readonly #begun: [Opening, Uint8Array[]];
  /** The number of windows that are being computed, and the time since which there are any. */
  #busy = 0;
  #since = 0;
  codecMs = 0;

  /** `begun` has the arguments by which the job was opened, and the ranges that it was then fed. */
  constructor(job: Job, pool: Pool, begun: [Opening, Uint8Array[]]) {
    this.#job = job;
    this.#pool = pool;
    this.#begun = begun;
    // One window for each worker and one on its way, but at least five, so that requests to a
    // server overlap.
    this.ahead = Math.max(4, pool.size) + 1;
  }

  get wasmBytes(): number {
    return this.#pool.wasmBytes;
  }

  /**
   * Opens the job in every worker, and the files that it reads and writes itself: some of the base,
   * and the output or none.
   */
  async open(bases: (Snapshot | undefined)[], output: FileSystemFileHandle | undefined): Promise<void> {
    await this.#pool.all('begin', [this.#key, ...this.#begun, bases, output]);
  }

  async compute(window: number, inputs: (Uint8Array | undefined)[]): Promise<Computed> {
    // An error in a window says more than a failed check of the whole archive, so it is thrown
    // first.
    let failure: unknown;
    try {
      this.#check(window, inputs);
    } catch (error) {
      failure = error;
    }
    if (!this.#busy++) this.#since = performance.now();
    const computed = await this.#pool.compute(this.#key, window, inputs);
    if (!--this.#busy) this.codecMs += performance.now() - this.#since;
    if (failure) throw failure;
    return computed;
  }

  /** Closes the job and its files in every worker. A fault in one is that of an earlier call. */
  async end(): Promise<void> {
    await this.#pool.all('end', [this.#key]).catch(() => {});
  }

  /** Checks the archive as a whole, of which each worker of the pool sees only a part. */
  #check(window: number, inputs: (Uint8Array | undefined)[]): void {
    const reads = this.#job.begin(window) as Read[];
    for (const [index, { source, length }] of reads.entries()) {
      if (source === 'delta') inputOf(this.#job, index, length).set(inputs[index] as Uint8Array);
    }
    this.#job.check();
  }
}
