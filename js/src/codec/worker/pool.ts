import type { Role } from '../protocol.js';
import type { Computed } from './drive.js';
import { call, type ServiceMessage } from './helper.js';
import type { Core } from './member.js';
import { spawn } from './spawn.js';

/**
 * The time limit for a call, in milliseconds. A worker that exceeds it counts as dead. A window
 * takes longer to compress than to restore.
 */
const LIMIT_MS: Record<Role, number> = { restore: 20_000, compress: 60_000 };

interface Member {
  worker: Worker;
  /** The number of windows that it has not finished. */
  waiting: number;
  /** Settles when the actions before, which have the worker for themselves, are done. */
  turn: Promise<unknown>;
  wasmBytes: number;
}

/** Calls a service of a worker. Buffers are transferred, unless they are `kept`. */
type Call = <T>(method: ServiceMessage['method'], args: unknown[], kept?: boolean) => Promise<T>;

/**
 * Workers that compute on all cores without shared memory, each on its own instance. A fault of one
 * worker is a fault of the mode.
 */
export class Pool {
  readonly #members: Member[];
  readonly #limit: number;
  readonly #onDeath: () => void;

  /**
   * Starts and tests the workers. `core` is what they load, and `onDeath` is called when one seems
   * to have died.
   */
  static async start(count: number, core: Core, onDeath: () => void): Promise<Pool> {
    const start = async () => {
      const worker = await spawn();
      await call(worker, 'load', core);
      return { worker, waiting: 0, turn: Promise.resolve(), wasmBytes: 0 };
    };
    return new Pool(await Promise.all(Array.from({ length: count }, start)), LIMIT_MS[core[1]], onDeath);
  }

  private constructor(members: Member[], limit: number, onDeath: () => void) {
    this.#members = members;
    this.#limit = limit;
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
  compute(key: number, window: number, inputs: (Uint8Array | undefined)[]): Promise<Computed> {
    return this.#leastBusy(async (member) => {
      const args = [key, window, inputs];
      const [output, wasmBytes] = await this.#inTime(
        call<[Computed, number]>(member.worker, 'compute', args),
      );
      member.wasmBytes = wasmBytes;
      return output;
    });
  }

  /**
   * Performs an action with the least busy worker. It has the worker for itself, in its turn. Its
   * result comes with the size of the worker's wasm memory.
   */
  alone<T>(action: (call: Call) => Promise<[T, number]>): Promise<T> {
    return this.#leastBusy(async (member) => {
      const own: Call = (method, args, kept) => this.#inTime(call(member.worker, method, args, kept));
      const done = member.turn.then(() => action(own));
      member.turn = done.catch(() => {});
      const [result, wasmBytes] = await done;
      member.wasmBytes = wasmBytes;
      return result;
    });
  }

  async #leastBusy<T>(action: (member: Member) => Promise<T>): Promise<T> {
    const member = this.#members.reduce((least, other) => (other.waiting < least.waiting ? other : least));
    member.waiting++;
    try {
      return await action(member);
    } finally {
      member.waiting--;
    }
  }

  #inTime<T>(answer: Promise<T>): Promise<T> {
    const late = setTimeout(this.#onDeath, this.#limit);
    return answer.finally(() => clearTimeout(late));
  }
}
