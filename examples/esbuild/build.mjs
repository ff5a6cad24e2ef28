import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

await build({
  entryPoints: ['main.js'],
  bundle: true,
  format: 'esm',
  minify: true,
  outdir: 'dist',
});

// esbuild leaves `new URL('./worker.js', import.meta.url)` as it is, so the files have to be beside
// the bundle; the worker imports common.js. A page that compresses also needs bitx-compress.wasm
// and bitx-compress-threads.wasm.
for (const file of ['worker.js', 'common.js', 'bitx-restore.wasm', 'bitx-restore-threads.wasm']) {
  copyFileSync(fileURLToPath(import.meta.resolve(`bitx-wasm/${file}`)), `dist/${file}`);
}
