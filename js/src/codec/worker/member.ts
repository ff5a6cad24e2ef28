import type { Role } from '../protocol.js';
import { instantiate, Job, memoryBytes } from './core.js';
import { runWindow } from './drive.js';
import type { Opening } from './request.js';
import { selfTest } from './self-test.js';

const jobs = new Map<number, Job>();

/**
 * The service of a pool's worker: computes windows on its own instance, for jobs that the host
 * identifies by numbers.
 */
export const member = {
  async load(module: WebAssembly.Module, role: Role): Promise<void> {
    instantiate(module);
    await selfTest(role);
  },

  /** Opens a job and feeds it the ranges that the host's own job was fed. */
  begin(key: number, opening: Opening, fed: Uint8Array[]): void {
    const job = Job.open(...opening);
    jobs.set(key, job);
    for (const bytes of fed) job.feed(bytes);
  },

  /** Computes a window; returns its output and the size of the wasm memory in bytes. */
  compute(key: number, window: number, inputs: Uint8Array[]): [Uint8Array, number] {
    return [runWindow(jobs.get(key) as Job, window, inputs), memoryBytes()];
  },

  end(key: number): void {
    jobs.get(key)?.free();
    jobs.delete(key);
  },
};
