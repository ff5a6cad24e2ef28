import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageDist, root } from './paths.mjs';

const FILES = join(root, 'js', 'src', 'codec', 'worker');

/**
 * An esbuild plugin that bundles the archive for the package's self-test. The archive is made by
 * the core that is being packaged, so that the two always match.
 */
export const selfTestArchive = {
  name: 'self-test-archive',
  setup({ onResolve, onLoad, esbuild }) {
    const path = join(FILES, 'self-test.bitx');
    onResolve({ filter: /self-test\.bitx$/ }, () => ({ path }));
    onLoad({ filter: /self-test\.bitx$/ }, async () => ({
      contents: moduleOf(await makeArchive(esbuild)),
      loader: 'js',
    }));
  },
};

function moduleOf(bytes) {
  return `export default Uint8Array.from(atob('${bytes.toString('base64')}'), (char) => char.charCodeAt(0));`;
}

async function makeArchive(esbuild) {
  const { base, target } = await tinyModels(esbuild);
  const script = readFileSync(join(root, 'js', 'generated', 'compress', 'bitx_wasm.js'), 'utf8');
  const glue = await import(`data:text/javascript,${encodeURIComponent(script)}`);
  const { memory } = await glue.default({
    module_or_path: readFileSync(join(packageDist, 'bitx-compress.wasm')),
  });
  const job = glue.Job.open(`operation compress\nbase ${base.length}\nlength ${target.length}`);
  const read = ({ source, offset, length }) =>
    (source === 'base' ? base : target).subarray(offset, offset + length);
  return compress(job, memory, read);
}

/** Runs a job in a wasm memory and returns its output. `read` returns the bytes of a range. */
function compress(job, memory, read) {
  const bytesAt = (at, length) => new Uint8Array(memory.buffer, at, length);
  for (let wanted = job.wants(); wanted; wanted = job.wants()) {
    job.take(read(wanted));
    while (job.advance());
  }
  const windows = Array.from({ length: job.plan().windows }, (_, window) => {
    for (const [index, range] of job.begin(window).entries()) {
      bytesAt(job.inputAt(index, range.length), range.length).set(read(range));
    }
    job.run();
    return bytesAt(job.outputAt(), job.outputLength()).slice();
  });
  job.free();
  return Buffer.concat(windows);
}

async function tinyModels(esbuild) {
  const { code } = await esbuild.transform(readFileSync(join(FILES, 'tiny-models.ts')), { loader: 'ts' });
  const module = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  return module.tinyModels();
}
