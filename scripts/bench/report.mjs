/**
 * Writes a report to docs/BENCHMARKS.md, the chart, and the figures in the README. `node
 * scripts/bench/report.mjs REPORT.json` repeats this for a report that `npm run bench` has saved.
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

/** The sections of the page that are written by hand. */
const NOTES = join(root, 'scripts', 'bench', 'notes.md');
const README_FIGURES = /(<!-- figures: written by npm run bench -->\n)[\s\S]*(\n<!-- end of figures -->)/;

export function writeReport(report) {
  writeFileSync(join(root, 'docs', 'BENCHMARKS.md'), benchmarks(report));
  writeFileSync(join(root, 'docs', 'figures.svg'), chart(report));
  const readme = join(root, 'README.md');
  const text = readFileSync(readme, 'utf8');
  if (!README_FIGURES.test(text)) throw new Error('README.md has no markers for the figures');
  writeFileSync(
    readme,
    text.replace(README_FIGURES, (_, begin, end) => begin + headline(report) + end),
  );
}

function benchmarks(report) {
  const notes = readFileSync(NOTES, 'utf8').trimEnd();
  const sections = tablesOf(report).map((table) =>
    [`## ${table.title}`, ...(table.note ? [table.note] : []), markdownTable(table)].join('\n\n'),
  );
  return `${[introduction(report), missing(report), ...sections, notes].filter(Boolean).join('\n\n')}\n`;
}

function introduction(report) {
  const { machine, command, date, threads, runs } = report;
  const all = checks(report);
  const met = all.filter((check) => check.met).length;
  const [start, end] = machine.load.map((load) => load.toFixed(1));
  const busy = machine.load[0] > BUSY ? `\n\n${OTHERS_RAN}` : '';
  return `# Benchmarks

\`${command}\` wrote this page on ${date}. The sections from
[How it is measured](#how-it-is-measured) on are copied from \`scripts/bench/notes.md\`.

- Machine: ${machine.cpu}, ${machine.cores} cores
- Load: ${start} at the start and ${end} at the end
- Threads: ${threads}
- Rounds: ${runs}, after one that warms up${busy}

**${met} of the ${all.length} required figures are met.**
[How it is measured](#how-it-is-measured) explains them.`;
}

/** The load above which other programs compete for the cores. */
const BUSY = 0.7;
const OTHERS_RAN = `\
**Other programs ran at the same time.** Every speed is therefore lower than the machine allows,
above all the gain of a second thread, and ratios vary between rounds.`;

function missing({ left_out, chromium, memory }) {
  const lines = left_out.map(({ name, why }) => `${name} is left out: ${why}.`);
  if (!chromium) lines.push('Chromium is not part of this run (`--browser`).');
  if (!memory.some(({ archive }) => archive)) {
    lines.push('A generated model of gigabytes is not part of this run (`--large GB`).');
  }
  return lines.join('\n');
}

/** The table of figures in the README. */
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
    .map(({ mode, threads, decode_mb_s }) => [
      `decode \`sft-bf16\` in Chromium, ${mode}: ${threads}, MB/s`,
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
