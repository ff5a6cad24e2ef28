const { Bitx } = require('bitx-wasm');

async function main([base, delta, output]) {
  const bitx = await Bitx.create();
  try {
    await bitx.restore({ base, delta, output });
  } finally {
    bitx.dispose();
  }
}

main(process.argv.slice(2));
