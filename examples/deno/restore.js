import { Bitx } from 'bitx-wasm';

const [base, delta, output] = Deno.args;
const bitx = await Bitx.create();
await bitx.restore({ base, delta, output });
bitx.dispose();
