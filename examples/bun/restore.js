import { Bitx } from 'bitx-wasm';

const [base, delta, output] = process.argv.slice(2);
const bitx = await Bitx.create();
await bitx.restore({ base, delta, output });
bitx.dispose();
