/**
 * Measurements of the store: its savings on the available models, beside ZipLLM's recipe, and its
 * speeds.
 */
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { time, usage } from './measure.mjs';
import { modelFolder, preparePairs } from './models.mjs';
import { ours } from './ours.mjs';
import { crate, PEERS, reference } from './peers.mjs';

const EFFORTS = ['default', 'fast'];

/** Measures the store, and returns `{ stats, recipe, speeds }`. */
export async function measureStore(options, say) {
  await ours.prepare();
  await crate.prepare();
  await reference.prepare();
  say('sizes');
  const sizes = measureSizes(options);
  say(`speeds on a generated pair of ${options.gigabytes} GB each`);
  return { ...sizes, speeds: measureSpeeds(options) };
}

function measureSizes(options) {
  const pairs = preparePairs(modelFolder().folder, options.scratch, reference, options.threads);
  const bases = [...new Set(pairs.map((pair) => pair.base))];
  const root = join(options.scratch, 'store');
  const add = (name, path) => store(root, ['add', '--name', name, path, '-j', options.threads]);
  for (const [index, base] of bases.entries()) add(`base-${index}`, base);
  for (const { name, model } of pairs) add(name, model);
  store(root, ['verify', '--read-data']);
  const stats = JSON.parse(store(root, ['stats', '--json']).stdout);
  rmSync(root, { recursive: true });
  return { stats, recipe: measureRecipe(pairs, bases, options) };
}

/**
 * The sizes by ZipLLM's recipe: bases compressed by zstd alone, and fine-tunes as BITXv001 against
 * their bases, where equal tensors take almost no space.
 */
function measureRecipe(pairs, bases, options) {
  const zstd = PEERS.find((peer) => peer.alone !== undefined && peer.name === 'zstd -3');
  if (!zstd) return undefined;
  const size = (path) => statSync(path).size;
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  return {
    input_bytes: sum(bases.map(size)) + sum(pairs.map((pair) => pair.bytes)),
    stored_bytes:
      sum(bases.map((base) => zstd.alone(base, options))) + sum(pairs.map((pair) => size(pair.archive))),
  };
}

function measureSpeeds({ scratch, threads, gigabytes }) {
  const folder = join(scratch, 'pair');
  mkdirSync(folder);
  time(crate.binary, ['generate', folder, gigabytes * 1e9]);
  const [base, model] = ['base', 'target'].map((name) => join(folder, `${name}.safetensors`));
  const rows = [];
  for (const effort of EFFORTS) {
    for (const cores of [...new Set([1, threads])]) {
      rows.push(...measureOne({ root: join(scratch, 'store'), base, model, effort, cores, threads }));
    }
  }
  rmSync(folder, { recursive: true });
  return rows;
}

/**
 * Measures adding a model to a store with its base, and restoring it with all digests checked and
 * nothing written.
 */
function measureOne({ root, base, model, effort, cores, threads }) {
  const options = ['--effort', effort, '--json', '-j'];
  store(root, ['add', '--name', 'base', base, ...options, threads]);
  const ingest = store(root, ['add', '--name', 'model', model, ...options, cores]);
  const added = JSON.parse(ingest.stdout);
  // The check then restores only the fine-tune, with the tensors of the base that it needs.
  store(root, ['rm', 'base']);
  const restore = store(root, ['verify', '--read-data', '--json', '-j', cores]);
  const verified = JSON.parse(restore.stdout);
  rmSync(root, { recursive: true });
  const row = (what, bytes, { seconds, cpu, peak }) => ({ what, effort, cores, bytes, seconds, cpu, peak });
  return [
    {
      ...row('ingest', added.bytes, ingest),
      storage: added.storage_ms / 1e3,
      ratio: added.stored_bytes / added.bytes,
    },
    row('restore', verified.bytes_read, restore),
  ];
}

function store(root, args) {
  return usage(ours.binary, ['store', '--root', root, ...args]);
}

/** Converts the measurements to tables. */
export function storeTables({ stats, recipe, speeds }) {
  return [savedTable(stats, recipe), speedTable(speeds)];
}

function savedTable(stats, recipe) {
  const row = (step, bytes) => [step, String(bytes), `${((100 * bytes) / stats.input_bytes).toFixed(2)} %`];
  const rows = [
    row('input', stats.input_bytes),
    row('after file dedup', stats.after_file_dedup),
    row('after tensor dedup', stats.after_tensor_dedup),
    row('after coding', stats.after_coding),
    row('with manifests and sketches', stats.stored_bytes),
  ];
  if (recipe) rows.push(row('recipe of ZipLLM', recipe.stored_bytes));
  const sketches = (stats.sketch_bytes / (stats.input_bytes / 1e6)).toFixed(0);
  const note = `${stats.models} models; ${stats.metadata_per_tensor.toFixed(0)} bytes of metadata per tensor, ${sketches} bytes of sketches per MB`;
  return { title: 'Stored sizes', note, head: ['step', 'bytes', 'of the input'], rows };
}

function speedTable(speeds) {
  const rate = (bytes, seconds) => (bytes / 1e6 / seconds).toFixed(0);
  const row = ({ what, effort, cores, bytes, seconds, cpu, peak, storage, ratio }) => [
    ...[what, effort, String(cores), rate(bytes, seconds), rate(bytes, seconds * cores), rate(bytes, cpu)],
    ...[storage?.toFixed(1) ?? '', ratio?.toFixed(4) ?? '', (peak / 1e6).toFixed(0)],
  ];
  return {
    title: 'Speed',
    note: 'Whole processes. The time of the storage is a sum: waits at the same time add up.',
    head: ['what', 'effort', 'cores', 'MB/s', 'per core', 'per CPU second', 'storage s', 'ratio', 'peak MB'],
    rows: speeds.map(row),
  };
}
