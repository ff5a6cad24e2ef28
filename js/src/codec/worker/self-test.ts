import type { Role } from '../protocol.js';
import { Job } from './core.js';
import { drive, open } from './drive.js';
import type { ReadRange } from './reader.js';
import { requestOf } from './request.js';
import archive from './self-test.bitx';
import { tinyModels } from './tiny-models.js';

/**
 * Restores or compresses a tiny model, and compares the result. Some browsers start threads that
 * then fault, or compile code that computes wrong results. The test finds that before any output is
 * delivered.
 */
export async function selfTest(role: Role): Promise<void> {
  const { base, target } = tinyModels();
  const inputs = { base, delta: archive, target };
  const read: ReadRange = async ({ source, offset, length }) =>
    inputs[source as keyof typeof inputs].slice(offset, offset + length);
  const [main, expected] = role === 'restore' ? [archive, target] : [target, archive];
  const job = Job.open(requestOf({ operation: role, base: base.length, length: main.length }));
  const found: number[] = [];
  const sink = { write: async (bytes: Uint8Array) => void found.push(...bytes) };
  const { signal } = new AbortController();
  await open(job, read, signal);
  await drive({ job, read, sink, signal, report: () => {} });
  job.free();
  if (String(found) !== String(expected)) {
    throw new Error('the self-test produced wrong bytes');
  }
}
