import { open, rename, rm } from 'node:fs/promises';
import { Bitx } from 'bitx-wasm';
import { fileOutput, fileSource } from 'bitx-wasm/node';

const [base, delta, output] = process.argv.slice(2);
if (!output) throw new Error('usage: node restore.mjs BASE DELTA OUTPUT');

const files = await Promise.all([open(base), open(delta), open(`${output}.part`, 'w')]);
const bitx = await Bitx.create();
try {
  await bitx.restore({
    base: await fileSource(files[0]),
    delta: await fileSource(files[1]),
    output: fileOutput(files[2]),
    onStats: ({ outputBytes, threads }) => console.log(`${outputBytes} bytes, threads: ${threads}`),
  });
  // The output gets its name only when the model is complete.
  await rename(`${output}.part`, output);
} finally {
  bitx.dispose();
  for (const file of files) await file.close();
  await rm(`${output}.part`, { force: true });
}
