import type { Bytes } from '../../common/index.js';
import type { Role } from '../protocol.js';
import { call } from './helper.js';
import type { Opening } from './request.js';
import { spawn } from './spawn.js';

/** The time limit for a window, in milliseconds. A worker that exceeds it counts as dead. */
const LIMIT_MS = 20_000;

interface Member {
  worker: Worker;
  /** The number of windows that it has not finished. */
  waiting: number;
  wasmBytes: number;
}

let nextKey = 0;

/**
 * Workers that compute on all cores without shared memory, each on its own instance. A fault of one
 * worker is a fault of the mode.
 */
export class Pool {
  readonly #members: Member[];
  readonly #onDeath: () => void;

  /** Starts and tests the workers. `onDeath` is called when one seems to have died. */
  static async start(
    count: number,
    module: WebAssembly.Module,
    role: Role,
    onDeath: () => void,
  ): Promise<Pool> {
    const start = async () => {
      const worker = await spawn();
      await call(worker, 'load', [module, role]);
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

  /** Opens a job in every worker, and returns the job's number. */
  async open(opening: Opening, fed: Uint8Array[]): Promise<number> {
    const key = nextKey++;
    await Promise.all(this.#members.map(({ worker }) => call(worker, 'begin', [key, opening, fed], true)));
    return key;
  }

  /** Computes a window of a job in the least busy worker. */
  async compute(key: number, window: number, inputs: Uint8Array[]): Promise<Bytes> {
    const member = this.#members.reduce((least, other) => (other.waiting < least.waiting ? other : least));
    member.waiting++;
    const late = setTimeout(this.#onDeath, LIMIT_MS);
    try {
      const [output, wasmBytes] = await call<[Bytes, number]>(member.worker, 'compute', [
        key,
        window,
        inputs,
      ]);
      member.wasmBytes = wasmBytes;
      return output;
    } finally {
      member.waiting--;
      clearTimeout(late);
    }
  }

  /** Closes a job in every worker. */
  close(key: number): void {
    for (const { worker } of this.#members) void call(worker, 'end', [key]);
  }
}
