import type { Job } from './core.js';
import type { Computed } from './drive.js';
import { inputOf } from './instance.js';
import type { Pool } from './pool.js';
import { Pooled } from './pooled.js';
import type { Snapshot } from './private-file.js';
import type { Read } from './reader.js';
import type { Opening } from './request.js';

/** A restore whose windows are computed by a pool. */
export class Shared extends Pooled {
  readonly #begun: [Opening, Uint8Array[]];

  /** `begun` has the arguments by which the job was opened, and the ranges that it was then given. */
  constructor(job: Job, pool: Pool, begun: [Opening, Uint8Array[]]) {
    // One window for each worker and one on its way, but at least five, so that requests to a
    // server overlap.
    super(job, pool, Math.max(4, pool.size) + 1);
    this.#begun = begun;
  }

  /**
   * Opens the job in every worker, and the files that it reads and writes itself: some of the base,
   * and the output or none.
   */
  async open(bases: (Snapshot | undefined)[], output: FileSystemFileHandle | undefined): Promise<void> {
    await this.pool.all('begin', [this.key, ...this.#begun, bases, output]);
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
    const computed = await this.timed(this.pool.compute(this.key, window, inputs));
    if (failure) throw failure;
    return computed;
  }

  /** Checks the archive as a whole, of which each worker of the pool sees only a part. */
  #check(window: number, inputs: (Uint8Array | undefined)[]): void {
    const reads = this.job.begin(window) as Read[];
    for (const [index, { source, length }] of reads.entries()) {
      if (source === 'delta') inputOf(this.job, index, length).set(inputs[index] as Uint8Array);
    }
    this.job.check();
  }
}
