/** The number of requests that compressing from addresses takes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Bitx } from 'bitx-wasm';
import { serve } from '../../scripts/lib/server.mjs';
import { FaultyFile, randomNumbers } from './faulty-file.mjs';
import { sha256 } from './support.mjs';

const MIB = 1 << 20;
let bitx;
before(async () => {
  bitx = await Bitx.create({ threads: 1 });
});
after(() => bitx.dispose());

/** The bytes of the tensors of an encoder of small width: matrices, and the vectors beside them. */
const ENCODER = [
  12_000_000,
  ...Array.from({ length: 6 }, () => [
    ...[768, 768, 768, 294_912, 768, 294_912, 768, 294_912, 768, 294_912],
    ...[3072, 1_179_648, 768, 768, 768, 1_179_648],
  ]).flat(),
];

/** Returns a BF16 model and a fine-tune of it, whose tensors have these lengths in bytes. */
function modelPair(lengths) {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  let at = 0;
  const tensors = lengths.map((length, index) => {
    const place = { dtype: 'BF16', shape: [length / 2], data_offsets: [at, at + length] };
    at += length;
    return [`layer.${String(index).padStart(5, '0')}.weight`, place];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(tensors)));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  const random = randomNumbers(7);
  const weights = Uint16Array.from({ length: total / 2 }, () => 0x3c00 + random(1024));
  const tuned = weights.map((bits, index) => (index % 4 === 0 ? bits + 1 : bits));
  const file = (words) => Buffer.concat([prefix, header, Buffer.from(words.buffer)]);
  const target = file(tuned);
  return {
    base: new FaultyFile(file(weights)),
    target: new FaultyFile(target),
    bytes: 2 * target.length,
    digest: sha256(target),
  };
}

for (const [name, lengths, most] of [
  ['an encoder, whose matrices have vectors beside them', ENCODER, 1.3],
  ['a model of small tensors', Array.from({ length: 3000 }, () => 10_240), 1.9],
]) {
  test(`compressing takes at most one request per MiB: ${name}`, async (t) => {
    const { base, target, bytes, digest } = modelPair(lengths);
    const mounts = { '/base': base.mount, '/target': target.mount };
    const { server, address } = await serve({ mounts });
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const archive = await bitx.compress({
      base: `${address}base`,
      target: `${address}target`,
      effort: 'fast',
    });
    const log = [...base.log, ...target.log];
    const sent = log.reduce((sum, entry) => sum + entry.sent, 0);
    t.diagnostic(`${log.length} requests, ${(sent / bytes).toFixed(2)} times the ${bytes} bytes`);
    assert.ok(log.length <= bytes / MIB, `${log.length} requests for ${bytes / MIB} MiB`);
    assert.ok(sent <= most * bytes, `${sent} bytes sent of ${bytes}`);
    const restored = await bitx.restore({ base: `${address}base`, delta: archive });
    assert.equal(sha256(new Uint8Array(await restored.arrayBuffer())), digest);
  });
}
