import type { Role } from '../protocol.js';
import type { Core, Job } from './core.js';
import { drive, open } from './drive.js';
import type { ReadRange } from './reader.js';
import archive from './self-test.bitx';
import { bytesSink } from './sinks.js';
import { tinyModels } from './tiny-models.js';

/**
 * Restores or compresses a tiny model. Some browsers start threads that then fault, or compile code that computes
 * something else; better to find out now than to hand over wrong bytes.
 */
export async function selfTest(core: Core, role: Role): Promise<void> {
  const { base, target } = tinyModels();
  const inputs = { base, delta: archive, target };
  const read: ReadRange = async ({ source, offset, length }) => inputs[source].slice(offset, offset + length);
  const [main, expected] = role === 'restore' ? [archive, target] : [target, archive];
  const job = core.Job.open(role, Float64Array.of(base.length), main.length, {});
  const found = await output(core, job, read);
  job.free();
  if (found.length !== expected.length || !found.every((byte, index) => byte === expected[index])) {
    throw new Error('the self-test made other bytes than it should');
  }
}

async function output(core: Core, job: Job, read: ReadRange): Promise<Uint8Array> {
  const sink = bytesSink();
  const { signal } = new AbortController();
  await open(job, read, signal);
  await drive({ core, job, read, sink, signal, report: () => {} });
  const { bytes } = await sink.close();
  return bytes as Uint8Array;
}
