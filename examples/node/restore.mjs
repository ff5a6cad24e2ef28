import { Bitx } from 'bitx-wasm';

const [base, delta, output] = process.argv.slice(2);
if (!output) throw new Error('usage: node restore.mjs BASE DELTA OUTPUT');

const bitx = await Bitx.create();
try {
  // The output gets its name only when the model is complete.
  await bitx.restore({
    base,
    delta,
    output,
    onStats: ({ outputBytes, threads }) => console.log(`${outputBytes} bytes, threads: ${threads}`),
  });
} finally {
  bitx.dispose();
}
