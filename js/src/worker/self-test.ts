import type { Sources } from '../protocol.js';
import type { Core, Job } from './core.js';
import { drive } from './drive.js';
import { blobSink } from './sinks.js';

/**
 * Compresses and restores a tiny model. Some browsers start threads that then fault, or compile code that computes
 * something else; better to find out now than to hand over wrong bytes.
 */
export async function selfTest(core: Core): Promise<void> {
  const base = tinyModel((index) => index);
  const target = tinyModel((index) => index * 3);
  const delta = await run(core, core.Job.compress(new Float64Array([base.size]), target.size, {}), {
    base,
    target,
  });
  const restored = await run(core, core.Job.restore(new Float64Array([base.size]), delta.size), {
    base,
    delta,
  });
  const [expected, found] = await Promise.all([target.arrayBuffer(), restored.arrayBuffer()]);
  const bytes = new Uint8Array(found);
  if (!new Uint8Array(expected).every((byte, index) => byte === bytes[index])) {
    throw new Error('the self-test restored other bytes than it had compressed');
  }
}

async function run(core: Core, job: Job, sources: Sources): Promise<Blob> {
  const sink = blobSink();
  await drive({ core, job, sources, sink, signal: new AbortController().signal, report: () => {} });
  job.free();
  return (await sink.close()) as Blob;
}

function tinyModel(value: (index: number) => number): Blob {
  const bytes = Uint16Array.from({ length: 256 }, (_, index) => value(index));
  const header = JSON.stringify({
    w: { dtype: 'BF16', shape: [16, 16], data_offsets: [0, bytes.byteLength] },
  });
  const length = new BigUint64Array([BigInt(header.length)]);
  return new Blob([length, header, bytes]);
}
