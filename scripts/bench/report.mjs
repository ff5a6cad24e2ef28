/**
 * Writes a report down: docs/BENCHMARKS.md, the chart, and the figures of the README.
 * `node scripts/bench/report.mjs REPORT.json` does so again for what `npm run bench` has saved.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../lib/paths.mjs';
import { checks } from './asked.mjs';
import { chart } from './chart.mjs';
import { samplesOf, share, summary } from './figures.mjs';
import { markdownTable } from './print.mjs';
import { tablesOf } from './tables.mjs';

const README_FIGURES = /(<!-- figures: written by npm run bench -->\n)[\s\S]*(\n<!-- end of figures -->)/;

export function writeReport(report) {
  writeFileSync(join(root, 'docs', 'BENCHMARKS.md'), benchmarks(report));
  writeFileSync(join(root, 'docs', 'figures.svg'), chart(report));
  const readme = join(root, 'README.md');
  const text = readFileSync(readme, 'utf8');
  if (!README_FIGURES.test(text)) throw new Error('README.md has no place for the figures');
  writeFileSync(
    readme,
    text.replace(README_FIGURES, (_, begin, end) => begin + headline(report) + end),
  );
}

function benchmarks(report) {
  const sections = tablesOf(report).map((table) =>
    [`## ${table.title}`, ...(table.note ? [table.note] : []), markdownTable(table)].join('\n\n'),
  );
  return `${[introduction(report), missing(report), ...sections, NOTES].filter(Boolean).join('\n\n')}\n`;
}

function introduction(report) {
  const { machine, command, date, threads, runs } = report;
  const all = checks(report);
  const met = all.filter((check) => check.met).length;
  const [start, end] = machine.load.map((load) => load.toFixed(1));
  const busy = machine.load[0] > BUSY ? `\n${OTHERS_RAN}` : '';
  return `# Benchmarks

Written by \`${command}\` on ${date}; the text stands in \`scripts/bench/report.mjs\`.
${machine.cpu}, ${machine.cores} cores, load ${start} at the start and ${end} at the end; threads: ${threads}; rounds: ${runs}, after one that warms up.${busy}

**${met} of the ${all.length} figures that were asked are met.** How each is measured stands [below](#how-it-is-measured).`;
}

/** A load from which on other programs compete for the cores. */
const BUSY = 0.7;
const OTHERS_RAN = `**Other programs ran at the same time**: every speed is lower than the machine allows, the gain of a second thread above
all, and ratios swing.`;

function missing({ left_out, chromium, memory }) {
  const lines = left_out.map(({ name, why }) => `${name} is left out: ${why}.`);
  if (!chromium) lines.push('Chromium is not part of this run (`--browser`).');
  if (!memory.some(({ archive }) => archive)) {
    lines.push('A generated model of gigabytes is not part of this run (`--large GB`).');
  }
  return lines.join('\n');
}

const NOTES = `## How it is measured

- **Models.** \`base-bf16\` is all-MiniLM-L6-v2 in BF16; \`sft\` is a full fine-tune of it, \`rl\` a light one that leaves
  95 % of the weights as they were, \`lora\` a merged LoRA. \`sft-f16\` and \`sft-f32\` are the small pairs of the tests. A
  generated pair has Gaussian weights and a random step for each: it measures memory, and its size says little.
- **Rounds.** Everything is run in turns, so that a slow moment of the machine meets all. Speeds are medians, in 10^6
  bytes of the model per second. "rounds" are the smallest and the largest ratio within one round: the wider, the less
  a single figure can be trusted.
- **In memory** is computing only: \`bitx bench\`, what the reference prints of its decoder, and libraries called on
  buffers. **Process** is a command from its start to its end, from file to file; of lmzip, Python's start included.
- **Every restored file** of every peer and round is compared with the original, outside of what is timed.
- **Bound**: entropies of the difference with the model's cost, per tensor, as they were measured before the codec.
- **bitx-codec** is the reference for v1, with its own archives. Its library's encoder is not timed alone.
- **pco** codes the 16-bit words of each tensor as XOR with the base and as difference in the order of the numbers, cut in
  pieces of 2^18 words for as many threads; undoing the XOR or the difference is timed with it. Header and names are not
  in its size. It is compiled for this very processor, as it recommends.
- **zstd -3** is \`zstd -3 --patch-from=BASE --single-thread\`; on several threads it would not find most of what \`rl\` has
  in common with its base. Its decoder has one thread anyway.
- **zipnn** codes the XOR of the tensors' bytes with the base's. Its compiled core is called directly: the Python around it
  wants gigabytes of libraries for another kind of work.
- **lmzip** appends the fine-tune to an archive that holds the base; the size is what it grows by. To restore the one it
  has to decode the other as well.
- **Memory** is the largest resident set that the kernel saw of the process.
- **Alone** is without a base: for bitx an empty file, for the others what they do with one file.

Without the full-size models beside the project, \`npm run bench\` takes the small ones of the tests, says so, and writes
nothing here: on those, a process is mostly its start.`;

/** The few figures that the README shows. */
function headline(report) {
  const coders = ['bitx v2', report.reference, ...BEST_PEERS.map((start) => coderLike(report, start))].filter(
    Boolean,
  );
  const sizes = ['sft-bf16', 'rl-bf16', 'lora-bf16'].map((name) => [
    `\`${name}\`, share of its size`,
    ...coders.map((coder) => share(report, name, coder)?.toFixed(4) ?? ''),
  ]);
  const speeds = [
    ['decode', 'memory', 'computing only'],
    ['decode', 'process', 'whole process'],
    ['encode', 'process', 'whole process'],
  ].map(([direction, timed, how]) => [
    `${direction} \`sft-bf16\`, ${how}, MB/s`,
    ...coders.map((coder) => {
      const figures = summary(samplesOf(report, 'sft-bf16', { coder, timed, direction }));
      return figures ? Math.round(figures.median).toLocaleString('en') : '';
    }),
  ]);
  const inChromium = (report.chromium ?? [])
    .filter(({ pair }) => pair === 'sft-bf16')
    .map(({ threads, decode_mb_s }) => [
      `decode \`sft-bf16\` in Chromium, threads: ${threads}, MB/s`,
      ...coders.map((coder) => (coder === 'bitx v2' ? `${Math.round(decode_mb_s)}` : '')),
    ]);
  return markdownTable({ head: ['', ...coders], rows: [...sizes, ...speeds, ...inChromium] });
}

const BEST_PEERS = [/^pco .* delta$/, /^zstd/, /^lmzip/];

function coderLike({ sizes }, pattern) {
  return sizes[0].rows.map(({ coder }) => coder).find((coder) => pattern.test(coder));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeReport(JSON.parse(readFileSync(process.argv[2], 'utf8')));
}
