import type { Job } from './core.js';
import type { Computed, Computing } from './drive.js';
import type { Pool } from './pool.js';

let nextKey = 0;

/** A job whose windows are computed by a pool. */
export abstract class Pooled implements Computing {
  readonly ahead: number;
  protected readonly job: Job;
  protected readonly pool: Pool;
  /** The workers know the job by it. */
  protected readonly key: number = nextKey++;
  /** The number of windows that are being computed, and the time since which there are any. */
  #busy = 0;
  #since = 0;
  codecMs = 0;

  constructor(job: Job, pool: Pool, ahead: number) {
    this.job = job;
    this.pool = pool;
    this.ahead = ahead;
  }

  abstract compute(window: number, inputs: (Uint8Array | undefined)[]): Promise<Computed>;

  get wasmBytes(): number {
    return this.pool.wasmBytes;
  }

  /** Closes the job and its files in every worker. A fault in one is that of an earlier call. */
  async end(): Promise<void> {
    await this.pool.all('end', [this.key]).catch(() => {});
  }

  /** Adds the time of a window to that of the codec. */
  protected async timed<T>(computed: Promise<T>): Promise<T> {
    if (!this.#busy++) this.#since = performance.now();
    const result = await computed;
    if (!--this.#busy) this.codecMs += performance.now() - this.#since;
    return result;
  }
}
