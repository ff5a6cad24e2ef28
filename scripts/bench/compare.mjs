/** The comparisons of one pair of models. Speeds are MB/s: 10^6 bytes of the model, medians over the runs. */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { interleave, median } from './measure.mjs';
import { sha256 } from './models.mjs';
import { FORMATS, ours, PEERS } from './peers.mjs';

/** How many times the reference's speed each row has to reach, for the full-size pairs. */
const ASKED = {
  'sft-bf16': {
    'v2 decode, compute': 6,
    'v2 decode, process': 3,
    'v2 encode, process': 1,
    'v2 fast encode, process': 1.3,
    'v1 decode, compute': 5,
    'v1 decode, process': 3,
    'v1 encode, process': 1,
  },
  'rl-bf16': { 'v2 decode, compute': 5, 'v2 decode, process': 3 },
};

/** Everything about one pair: rows of `{ what, unit, ours, peer, theirs, ratio, range, asked }`, and our formats. */
export function comparePair(pair, { scratch, threads, runs, fullSize }) {
  const options = { pair, scratch, threads, runs };
  const archives = FORMATS.map(({ label, how }) => {
    const path = join(scratch, `${pair.name}.${label.replace(' ', '-')}.bitx`);
    ours.compress(pair.base, pair.model, path, threads, how);
    return path;
  });
  const { formats, rows: compute } = compareCompute(options);
  const rows = [...compute, ...compareDecode(options, archives), ...compareEncode(options, archives)];
  const asked = fullSize ? ASKED[pair.name] : undefined;
  return {
    name: pair.name,
    bytes: pair.bytes,
    formats,
    rows: rows.map((row) => ({ ...row, asked: asked?.[row.what] })),
  };
}

/** What `bitx bench` measures against the speed that each peer prints: no disks, no start of a process. */
function compareCompute({ pair, scratch, threads, runs }) {
  const { base, archive, model } = pair;
  const output = join(scratch, 'restored');
  const [benches, ...printed] = interleave(runs, [
    () => ours.bench(base, model, threads),
    ...PEERS.map((peer) => () => peer.printedSpeed(peer.decompress(base, archive, output, threads))),
  ]);
  const formats = mediansOfBench(benches);
  const rows = FORMATS.flatMap(({ label, row }) => {
    const index = formats.findIndex(({ format, effort }) => format === row.format && effort === row.effort);
    const mine = benches.map((bench) => bench[index].decode_mb_s);
    return PEERS.map((peer, at) => speedRow(`${label} decode, compute`, mine, peer, printed[at]));
  });
  return { formats, rows };
}

/** Restoring from the start of the process to its end: our archive of each format, the peer its own. */
function compareDecode(options, archives) {
  const { pair, scratch, threads } = options;
  const output = join(scratch, 'restored');
  const decode = (cli, archive) => () => {
    rmSync(output, { force: true });
    return cli.decompress(pair.base, archive, output, threads).seconds;
  };
  const mine = archives.map((archive) => decode(ours, archive));
  const theirs = PEERS.map((peer) => decode(peer, pair.archive));
  for (const task of [...mine, ...theirs]) {
    task();
    if (sha256(output) !== pair.sha256) throw new Error(`${pair.name}: restored other bytes`);
  }
  return rowsOf('decode, process', options, mine, theirs);
}

/** Compressing, and how large the archives are. */
function compareEncode(options, archives) {
  const { pair, scratch, threads } = options;
  const output = join(scratch, 'archive');
  const encode = (cli, how) => () => {
    rmSync(output, { force: true });
    return cli.compress(pair.base, pair.model, output, threads, how).seconds;
  };
  const mine = FORMATS.map(({ how }) => encode(ours, how));
  const theirs = PEERS.map((peer) => encode(peer));
  const rows = rowsOf('encode, process', options, mine, theirs);
  const sizes = FORMATS.flatMap(({ label }, index) => {
    const size = statSync(archives[index]).size;
    return PEERS.map((peer) => row(`${label} archive`, 'bytes', size, peer, statSync(pair.archive).size));
  });
  return [...rows, ...sizes];
}

/** Times the tasks of all our formats and of the peers in turns. */
function rowsOf(what, { pair, runs }, mine, theirs) {
  const samples = interleave(runs, [...mine, ...theirs]);
  const speeds = samples.map((seconds) => seconds.map((time) => pair.bytes / 1e6 / time));
  return FORMATS.flatMap(({ label }, index) =>
    PEERS.map((peer, at) => speedRow(`${label} ${what}`, speeds[index], peer, speeds[mine.length + at])),
  );
}

function mediansOfBench(benches) {
  return benches[0].map(({ format, effort }, index) => {
    const figure = (key) => median(benches.map((rows) => rows[index][key]));
    const [ratio, encode, decode] = ['ratio', 'encode_mb_s', 'decode_mb_s'].map(figure);
    return { format, effort, ratio, encode_mb_s: encode, decode_mb_s: decode };
  });
}

/** A row of medians, and between which ratios the single rounds lay: they tell how noisy the machine was. */
function speedRow(what, mine, peer, theirs) {
  const ratios = mine.map((speed, round) => speed / theirs[round]);
  const range = [Math.min(...ratios), Math.max(...ratios)];
  return { ...row(what, 'MB/s', median(mine), peer, median(theirs)), range };
}

function row(what, unit, mine, peer, theirs) {
  return { what, unit, ours: mine, peer: peer.name, theirs, ratio: mine / theirs };
}
