import type { Role, Sources } from '../protocol.js';
import type { Core, Job } from './core.js';
import { drive } from './drive.js';
import archive from './self-test.bitx';
import { bytesSink } from './sinks.js';
import { tinyModels } from './tiny-models.js';

/**
 * Restores or compresses a tiny model. Some browsers start threads that then fault, or compile code that computes
 * something else; better to find out now than to hand over wrong bytes.
 */
export async function selfTest(core: Core, role: Role): Promise<void> {
  const { base, target } = tinyModels();
  const inputs = { base: [new Blob([base])], delta: [new Blob([archive])], target: [new Blob([target])] };
  const [main, expected] = role === 'restore' ? [archive, target] : [target, archive];
  const job = core.Job.open(role, Float64Array.of(base.length), main.length, {});
  const found = await output(core, job, inputs);
  job.free();
  if (found.length !== expected.length || !found.every((byte, index) => byte === expected[index])) {
    throw new Error('the self-test made other bytes than it should');
  }
}

async function output(core: Core, job: Job, sources: Sources): Promise<Uint8Array> {
  const sink = bytesSink();
  await drive({ core, job, sources, sink, signal: new AbortController().signal, report: () => {} });
  const { bytes } = await sink.close();
  return bytes as Uint8Array;
}
