/**
 * The cost of an archive against the size of the model and the number of threads, on generated
 * pairs: times of whole processes, files included, and their peak memory.
 */
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { interleave, median, time, usage } from './measure.mjs';
import { sha256 } from './models.mjs';
import { ours } from './ours.mjs';
import { crate } from './peers.mjs';
import { markdownTable } from './print.mjs';

/** The numbers of threads that are measured, and those whose times are calculated from them. */
const MEASURED = [1, 2];
const CALCULATED = [4, 8];

/** Measures pairs of these sizes in MB, with rounds that grow fewer with the size. */
export async function measureScale(sizes, { scratch, runs }, say) {
  await ours.prepare();
  await crate.prepare();
  return sizes.flatMap((megabytes, index) => {
    say(`a generated pair of ${megabytes} MB each`);
    return measureSize(megabytes, Math.max(1, runs - 2 * index), scratch);
  });
}

/** Measures one size, and returns its rows `{ what, megabytes, share, peak, seconds, serial }`. */
function measureSize(megabytes, runs, scratch) {
  const folder = join(scratch, 'scale');
  const [base, model, archive, output] = ['base', 'target', 'archive', 'output'].map((name) =>
    join(folder, `${name}.safetensors`),
  );
  mkdirSync(folder);
  try {
    time(crate.binary, ['generate', folder, megabytes * 1e6]);
    const encode = (threads) => usage(ours.binary, ours.compressArgs(base, model, archive, threads));
    const decode = (threads) => usage(ours.binary, ours.decompressArgs(base, archive, output, threads));
    const rows = [measureWork('encode', encode, runs), measureWork('decode', decode, runs)];
    if (sha256(output) !== sha256(model)) throw new Error('the restored bytes are wrong');
    const share = statSync(archive).size / statSync(model).size;
    return rows.map((row) => ({ ...row, megabytes, share }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function measureWork(what, work, runs) {
  const samples = interleave(
    runs,
    MEASURED.map((threads) => () => work(threads)),
  );
  const [one, two] = samples.map((sample) => median(sample.map(({ seconds }) => seconds)));
  const peak = Math.max(...samples.flat().map((sample) => sample.peak));
  return { what, peak, seconds: [one, two], serial: serialShare(one, two) };
}

/** The share of the work that a second thread does not speed up, by Amdahl's law. */
function serialShare(one, two) {
  return Math.min(1, Math.max(0, (2 * two) / one - 1));
}

/** The time with more threads, by Amdahl's law. */
function calculated(one, serial, threads) {
  return one * (serial + (1 - serial) / threads);
}

/** Converts the measurements to a table. */
export function scaleTable(rows) {
  const counts = [...MEASURED, ...CALCULATED];
  const speed = (megabytes, seconds) => Math.round(megabytes / seconds).toLocaleString('en');
  return {
    title: 'Cost against size',
    head: [
      'model',
      'work',
      'share',
      'peak memory',
      'serial',
      ...counts.map((n) => `${n} thread${n > 1 ? 's' : ''}`),
    ],
    rows: rows.map(({ what, megabytes, share, peak, seconds, serial }) => [
      `${megabytes.toLocaleString('en')} MB`,
      what,
      share.toFixed(4),
      `${Math.round(peak / 1e6)} MB`,
      `${(100 * serial).toFixed(0)} %`,
      ...seconds.map((time) => `${speed(megabytes, time)} MB/s`),
      ...CALCULATED.map((n) => `${speed(megabytes, calculated(seconds[0], serial, n))} MB/s`),
    ]),
  };
}

/** Writes docs/SCALING.md. */
export function writeScale(rows, { command, cpu, cores, load }) {
  const page = `# Cost against size

\`${command}\` wrote this page on ${new Date().toISOString().slice(0, 10)}.

- Machine: ${cpu}, ${cores} cores
- Load before the start: ${load.toFixed(1)}

Each pair is generated: a base in BF16, and a fine-tune that moves every weight. The times are those
of whole processes, \`bitx compress\` and \`bitx decompress\` with their defaults, including the
reading and writing of files and all digests. Medians of rounds in turns. Restored files were
compared with the model.

${markdownTable(scaleTable(rows))}

- **${MEASURED.join(' and ')} threads are measured.** The *serial* share follows from them by Amdahl's law: it is the
  part of the work, most of it input and output, that a second thread does not speed up.
- **${CALCULATED.join(' and ')} threads are calculated** from the serial share, since this machine has ${cores} cores. They are
  bounds for a machine whose cores, memory and disk are as fast, and no measurements.
- Memory does not grow with the model: a window of it is in work at a time.
`;
  writeFileSync(join(root, 'docs', 'SCALING.md'), page);
}
