import type { Computed } from './drive.js';
import { call, type ServiceMessage } from './helper.js';
import type { Core } from './member.js';
import { spawn } from './spawn.js';

/** The time limit for a call, in milliseconds. A worker that exceeds it counts as dead. */
const LIMIT_MS = 20_000;

interface Member {
  worker: Worker;
  /** The number of windows that it has not finished. */
  waiting: number;
  wasmBytes: number;
}

/**
 * Workers that compute on all cores without shared memory, each on its own instance. A fault of one
 * worker is a fault of the mode.
 */
export class Pool {
  readonly #members: Member[];
  readonly #onDeath: () => void;

  /**
   * Starts and tests the workers. `core` is what they load, and `onDeath` is called when one seems
   * to have died.
   */
  static async start(count: number, core: Core, onDeath: () => void): Promise<Pool> {
    const start = async () => {
      const worker = await spawn();
      await call(worker, 'load', core);
      return { worker, waiting: 0, wasmBytes: 0 };
    };
    return new Pool(await Promise.all(Array.from({ length: count }, start)), onDeath);
  }

  private constructor(members: Member[], onDeath: () => void) {
    this.#members = members;
    this.#onDeath = onDeath;
  }

  /** The number of workers that compute. */
  get size(): number {
    return this.#members.length;
  }

  get wasmBytes(): number {
    return this.#members.reduce((sum, { wasmBytes }) => sum + wasmBytes, 0);
  }

  /** Calls a service of every worker, and waits until all have answered. Buffers are copied. */
  async all(method: ServiceMessage['method'], args: unknown[]): Promise<void> {
    const calls = await Promise.allSettled(
      this.#members.map(({ worker }) => this.#inTime(call(worker, method, args, true))),
    );
    for (const { reason } of calls as PromiseRejectedResult[]) if (reason) throw reason;
  }

  /** Computes a window of a job in the least busy worker. */
  async compute(key: number, window: number, inputs: (Uint8Array | undefined)[]): Promise<Computed> {
    const member = this.#members.reduce((least, other) => (other.waiting < least.waiting ? other : least));
    member.waiting++;
    try {
      const args = [key, window, inputs];
      const [output, wasmBytes] = await this.#inTime(
        call<[Computed, number]>(member.worker, 'compute', args),
      );
      member.wasmBytes = wasmBytes;
      return output;
    } finally {
      member.waiting--;
    }
  }

  #inTime<T>(answer: Promise<T>): Promise<T> {
    const late = setTimeout(this.#onDeath, LIMIT_MS);
    return answer.finally(() => clearTimeout(late));
  }
}
