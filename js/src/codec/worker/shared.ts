import type { Bytes } from '../../common/index.js';
import type { Job } from './core.js';
import type { Computing } from './drive.js';
import type { Pool } from './pool.js';
import type { Read } from './reader.js';

/** A job whose windows are computed by a pool. */
export class Shared implements Computing {
  readonly ahead: number;
  readonly #job: Job;
  readonly #pool: Pool;
  readonly #key: number;
  /** The number of windows that are being computed, and the time since which there are any. */
  #busy = 0;
  #since = 0;
  codecMs = 0;

  /** `key` is the job's number in the pool. */
  constructor(job: Job, pool: Pool, key: number) {
    this.#job = job;
    this.#pool = pool;
    this.#key = key;
    // One window for each worker and one on its way, but at least five, so that requests to a
    // server overlap.
    this.ahead = Math.max(4, pool.size) + 1;
  }

  get wasmBytes(): number {
    return this.#pool.wasmBytes;
  }

  async compute(window: number, inputs: Uint8Array[]): Promise<Bytes> {
    // An error in a window says more than a failed check of the whole archive, so it is thrown
    // first.
    let failure: unknown;
    try {
      this.#check(window, inputs);
    } catch (error) {
      failure = error;
    }
    if (!this.#busy++) this.#since = performance.now();
    const output = await this.#pool.compute(this.#key, window, inputs);
    if (!--this.#busy) this.codecMs += performance.now() - this.#since;
    if (failure) throw failure;
    return output;
  }

  end(): void {
    this.#pool.close(this.#key);
  }

  /** Checks the archive as a whole, of which each worker of the pool sees only a part. */
  #check(window: number, inputs: Uint8Array[]): void {
    const reads = this.#job.begin(window) as Read[];
    for (const [index, { source }] of reads.entries()) {
      if (source === 'delta') this.#job.supply(index, inputs[index] as Uint8Array);
    }
    this.#job.check();
  }
}
