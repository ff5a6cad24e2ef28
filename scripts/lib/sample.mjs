/**
 * The sample of the demo: a real transformer block and three real fine-tunes of it, made from the
 * committed vectors with the built package.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageDist, root } from './paths.mjs';

const vectors = join(root, 'tests', 'vectors', 'mini');

/** The fine-tunes in the order of the page, each with the vector that restores it. */
const TUNES = [
  { id: 'rl', title: 'Light touch', about: '40 steps, as in RL' },
  { id: 'lora', title: 'Merged LoRA', about: 'rank 8, on query and value' },
  { id: 'sft', title: 'Full fine-tune', about: '300 steps, every weight' },
];

/** Columns and rows of the picture, in which each cell is one weight. */
export const GRID = { columns: 48, rows: 20 };

/**
 * Writes the archives of the sample into `folder` and its description to the file `about`. The base
 * is an archive too, which needs no base itself.
 */
export async function makeSample(folder, about) {
  const { Bitx } = await import(join(packageDist, 'node.js'));
  const bitx = await Bitx.create();
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(about, '..'), { recursive: true });
  try {
    const base = new Blob([readFileSync(join(vectors, 'base-bf16.safetensors'))]);
    const save = async (name, options) => {
      const archive = await bitx.compress({ effort: 'max', ...options });
      writeFileSync(join(folder, name), Buffer.from(await archive.arrayBuffer()));
      return { file: name, storedBytes: archive.size, ...(await described(options.target)) };
    };
    const tunes = [];
    const models = {};
    for (const { id, ...texts } of TUNES) {
      const delta = new Blob([readFileSync(join(vectors, `${id}-bf16.v1.bitx`))]);
      const target = await bitx.restore({ base, delta });
      models[id] = target;
      tunes.push({ id, ...texts, ...(await save(`${id}.bitx`, { base, target })) });
    }
    const entry = await save('base.bitx', { base: [], target: base });
    const picture = await pictureOf(base, models, await bitx.tensors(base));
    writeFileSync(about, JSON.stringify({ base: entry, tunes, picture }));
  } finally {
    bitx.dispose();
  }
}

async function described(model) {
  const bytes = new Uint8Array(await model.arrayBuffer());
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/**
 * Takes weights at equal distances from the base: their sizes as ranks from 0 to 5, and how far
 * each fine-tune moved them, from 0 (not at all) to 3, as strings of one digit for each weight.
 */
async function pictureOf(base, models, tensors) {
  const places = tensors.filter(({ dtype }) => dtype === 'BF16');
  const count = GRID.columns * GRID.rows;
  const total = places.reduce((sum, { length }) => sum + length / 2, 0);
  const offsets = Array.from({ length: count }, (_, i) =>
    offsetOf(places, Math.floor(((i + 0.5) * total) / count)),
  );
  const words = async (model) => {
    const view = new DataView(await model.arrayBuffer());
    return offsets.map((offset) => view.getUint16(offset, true));
  };
  const own = await words(base);
  const sorted = own.map(magnitude).sort((a, b) => a - b);
  const rank = (word) => Math.floor((sorted.indexOf(magnitude(word)) / count) * 6);
  const changes = {};
  for (const [id, model] of Object.entries(models)) {
    const tuned = await words(model);
    changes[id] = tuned.map((word, i) => change(own[i], word)).join('');
  }
  return { ...GRID, sizes: own.map(rank).join(''), changes };
}

function offsetOf(places, weight) {
  let left = weight;
  for (const { offset, length } of places) {
    if (left < length / 2) return offset + left * 2;
    left -= length / 2;
  }
  throw new RangeError('there is no such weight');
}

const magnitude = (word) => word & 0x7fff;
const ordered = (word) => (word & 0x8000 ? -magnitude(word) : word);

function change(base, tuned) {
  const steps = Math.abs(ordered(tuned) - ordered(base));
  return steps === 0 ? 0 : steps === 1 ? 1 : steps < 8 ? 2 : 3;
}
