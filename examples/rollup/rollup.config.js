import { copyFileSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import nodeResolve from '@rollup/plugin-node-resolve';

/**
 * Copies the files of the package that run in workers beside the bundle, since Rollup leaves
 * `new URL('./worker.js', import.meta.url)` as it is.
 */
const bitxFiles = {
  name: 'bitx-files',
  writeBundle({ dir }) {
    mkdirSync(dir, { recursive: true });
    for (const file of ['worker.js', 'common.js', 'bitx-restore.wasm', 'bitx-restore-threads.wasm']) {
      copyFileSync(fileURLToPath(import.meta.resolve(`bitx-wasm/${file}`)), `${dir}/${file}`);
    }
  },
};

export default {
  input: 'main.js',
  output: { dir: 'dist', format: 'es' },
  plugins: [nodeResolve({ browser: true }), bitxFiles],
};
