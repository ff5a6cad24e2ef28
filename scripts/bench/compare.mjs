/** The comparisons of one pair of models. Speeds are MB/s: 10^6 bytes of the model, medians over the runs. */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { interleave, median } from './measure.mjs';
import { sha256 } from './models.mjs';
import { ours, PEERS } from './peers.mjs';

/** What a full-size `sft-bf16` has to reach: at least so many times the peer's speed, or a size so close. */
const ASKED = { 'decode, compute': '>= 5', 'decode, process': '>= 3', 'encode, process': '>= 1' };
const ASKED_SIZE = '0.99 to 1.01';

/** Everything about one pair: rows of `{ what, unit, ours, peer, theirs, ratio, range, asked }`, and our formats. */
export function comparePair(pair, { scratch, threads, runs, fullSize }) {
  const options = { pair, scratch, threads, runs };
  const { formats, rows: compute } = compareCompute(options);
  const rows = [...compute, ...compareDecode(options), ...compareEncode(options)];
  const asked = fullSize && pair.name === 'sft-bf16';
  return { name: pair.name, bytes: pair.bytes, formats, rows: asked ? rows.map(withAsked) : rows };
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
  const v1 = formats.find(({ format, effort }) => format === 'v1' && effort === '3');
  const mine = benches.map((rows) => rows[formats.indexOf(v1)].decode_mb_s);
  const rows = PEERS.map((peer, index) => speedRow('decode, compute', mine, peer, printed[index]));
  return { formats, rows };
}

/** Restoring the same archive, from the start of the process to its end. */
function compareDecode({ pair, scratch, threads, runs }) {
  const output = join(scratch, 'restored');
  const decode = (cli) => () => {
    rmSync(output, { force: true });
    return cli.decompress(pair.base, pair.archive, output, threads).seconds;
  };
  return rowsOf('decode, process', pair, [ours, ...PEERS], runs, decode, () => {
    if (sha256(output) !== pair.sha256) throw new Error(`${pair.name}: restored other bytes`);
  });
}

/** Compressing at level 3, and how large the archives are; each must restore with the first peer. */
function compareEncode({ pair, scratch, threads, runs }) {
  const sizes = new Map();
  const output = join(scratch, 'archive');
  const encode = (cli) => () => {
    rmSync(output, { force: true });
    const { seconds } = cli.compress(pair.base, pair.model, output, threads);
    sizes.set(cli, statSync(output).size);
    return seconds;
  };
  const rows = rowsOf('encode, process', pair, [ours, ...PEERS], runs, encode, () => {
    const restored = join(scratch, 'restored');
    PEERS[0].decompress(pair.base, output, restored, threads);
    if (sha256(restored) !== pair.sha256) throw new Error(`${pair.name}: the archive restores other bytes`);
  });
  const size = (peer) => row('archive size', 'bytes', sizes.get(ours), peer, sizes.get(peer));
  return [...rows, ...PEERS.map(size)];
}

/** Times `task` of every command line, checking what each leaves after its last run. */
function rowsOf(what, { bytes }, clis, runs, task, check) {
  const samples = interleave(runs, clis.map(task));
  const [mine, ...others] = samples.map((seconds) => seconds.map((time) => bytes / 1e6 / time));
  for (const cli of clis) {
    task(cli)();
    check();
  }
  return others.map((theirs, index) => speedRow(what, mine, clis[index + 1], theirs));
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

function withAsked(row) {
  return { ...row, asked: row.unit === 'bytes' ? ASKED_SIZE : ASKED[row.what] };
}
