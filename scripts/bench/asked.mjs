/** The figures that v2 is required to reach, and a check of a report against them. */
import { ratio, samplesOf, share } from './figures.mjs';

/** The best bounds that entropies give for the small pairs, in bytes, with prediction. */
const MINI_BOUNDS = { 'sft-f16': 344_058, 'sft-f32': 1_308_270 };
/** The maximum share of the raw tensor bytes for each effort, and the bound by entropy. */
const SIZES = {
  'sft-bf16': { default: 0.135, max: 0.12, bound: 0.1131 },
  'rl-bf16': { default: 0.0095, max: 0.009, bound: 0.0082 },
  'lora-bf16': { default: 0.0075, max: 0.0062, bound: 0.0054 },
  'base-bf16 alone': { default: 0.665, max: 0.659, bound: 0.657 },
};
/** The minimum speeds, relative to the reference: pair, direction, timing, coder and factor. */
const SPEEDS = [
  ['sft-bf16', 'decode', 'process', 'bitx v2', 3.5],
  ['rl-bf16', 'decode', 'process', 'bitx v2', 3.5],
  ['sft-bf16', 'encode', 'process', 'bitx v2', 0.8],
  ['sft-bf16', 'encode', 'process', 'bitx v2 max', 0.1],
  ['sft-bf16', 'encode', 'process', 'bitx v2 fast', 1.3],
];
/** The minimum decoding speeds in memory, relative to pcodec's on the differences. */
const TO_PCODEC = [
  ['sft-bf16', 1],
  ['rl-bf16', 1],
];
const SCALING = 1.85;
const MEMORY = 300e6;

const TIMED = { memory: 'compute only', process: 'whole process' };

/**
 * Checks a report, and returns rows `{ what, asked, measured, rounds, bound, met }` with the
 * figures as text.
 */
export function checks(report) {
  const speeds = report.full_size
    ? [...speedChecks(report), ...pcodecChecks(report), predictionCheck(report), ...modeChecks(report)]
    : [];
  const scaling = report.full_size && report.threads > 1 ? scalingChecks(report) : [];
  return [...sizeChecks(report), ...speeds, ...scaling, ...memoryChecks(report)];
}

function sizeChecks(report) {
  return report.sizes.flatMap(({ name, raw }) => {
    const limits = name in MINI_BOUNDS ? nearBound(MINI_BOUNDS[name], raw) : report.full_size && SIZES[name];
    if (!limits) return [];
    return ['default', 'max'].map((effort) => {
      const measured = share(report, name, effort === 'max' ? 'bitx v2 max' : 'bitx v2');
      const figures = { measured: measured.toFixed(4), bound: limits.bound.toFixed(4) };
      const asked = `at most ${limits[effort].toFixed(4)}`;
      return { what: `size of ${name}, ${effort}`, asked, ...figures, met: measured <= limits[effort] };
    });
  });
}

function nearBound(bound, raw) {
  const within = (percent) => (bound * (1 + percent / 100) + 8000) / raw;
  return { default: within(5), max: within(3), bound: bound / raw };
}

function speedChecks(report) {
  return SPEEDS.map(([pair, direction, timed, coder, least]) => {
    const of = (coder) => samplesOf(report, pair, { coder, timed, direction });
    const effort = coder === 'bitx v2' ? 'default' : coder.split(' ').pop();
    const what = `${direction} ${pair}, ${effort}, ${TIMED[timed]}, relative to the reference`;
    return atLeast(what, ratio(of(coder), of(report.reference)), least);
  });
}

function pcodecChecks(report) {
  const coder = report.speeds[0].samples.find(({ coder }) => /^pco .* delta$/.test(coder))?.coder;
  if (!coder) return [];
  return TO_PCODEC.map(([pair, least]) => {
    const of = (coder) => samplesOf(report, pair, { coder, timed: 'memory', direction: 'decode' });
    const what = `decode ${pair}, default, compute only, relative to pcodec's differences`;
    return atLeast(what, ratio(of('bitx v2'), of(coder)), least);
  });
}

/**
 * The minimum ratios in Chromium: a pool to threads, a restore from private files to decoding
 * alone, and a restore to a private file to writing alone.
 */
const [POOL, STREAM, WRITTEN] = [0.85, 0.7, 0.45];

function modeChecks({ chromium = [] }) {
  const [threads, pool] = ['threads', 'pool'].map((wanted) =>
    chromium.find((row) => row.pair === 'sft-bf16' && row.mode === wanted),
  );
  if (!threads || !pool) return [];
  const of = ({ samples }, name, [other, to]) => ratio(samples[name], other.samples[to]);
  return [
    ['pool relative to threads, Blob to Blob', of(pool, 'restore_mb_s', [threads, 'restore_mb_s']), POOL],
    [
      'private files to a stream, relative to decoding',
      of(threads, 'stream_mb_s', [threads, 'decode_mb_s']),
      STREAM,
    ],
    [
      'to a private file, relative to plain writing',
      of(threads, 'file_mb_s', [threads, 'written_mb_s']),
      WRITTEN,
    ],
  ].map(([what, measured, least]) => atLeast(`restore sft-bf16 in Chromium, ${what}`, measured, least));
}

function scalingChecks(report) {
  return report.speeds.flatMap(({ name }) =>
    ['decode', 'encode'].map((direction) =>
      atLeast(
        `${direction} ${name}, ${report.threads} threads relative to 1`,
        scaling(report, name, direction),
        SCALING,
      ),
    ),
  );
}

/**
 * The minimum speed of decoding with a prediction of rank 8, as `default` makes it, relative to
 * decoding without.
 */
const PREDICTED = 0.7;

function predictionCheck(report) {
  const of = (coder) => samplesOf(report, 'sft-bf16', { coder, timed: 'memory', direction: 'decode' });
  const speed = ratio(of('bitx v2'), of('bitx v2 fast'));
  return atLeast('decode sft-bf16, compute only, with prediction relative to without', speed, PREDICTED);
}

/** The speed with all threads relative to that with one thread. */
export function scaling(report, pair, direction, coder = 'bitx v2') {
  const of = (threads) => samplesOf(report, pair, { coder, timed: 'memory', direction, threads });
  return ratio(of(report.threads), of(1));
}

function memoryChecks(report) {
  const mine = report.memory.filter(({ coder }) => coder !== report.reference);
  return mine.map(({ what, coder, model, peak }) => ({
    what: `peak memory, ${what} ${model}${coder === 'bitx v2 max' ? ', max' : ''}`,
    asked: `under ${MEMORY / 1e6} MB`,
    measured: `${(peak / 1e6).toFixed(1)} MB`,
    met: peak < MEMORY,
  }));
}

function atLeast(what, { median, least: lowest, most }, least) {
  const times = (value) => value.toPrecision(3);
  const rounds = `${times(lowest)} to ${times(most)}`;
  return { what, asked: `at least ${least}`, measured: times(median), rounds, met: median >= least };
}
