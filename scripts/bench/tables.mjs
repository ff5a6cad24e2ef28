/** The tables of a report, as `{ title, note, head, rows }` with text in every cell. */
import { checks, scaling } from './asked.mjs';
import { samplesOf, share, summary } from './figures.mjs';

export function tablesOf(report) {
  return [
    asked(report),
    sizes(report),
    ...report.speeds.map((pair) => speeds(report, pair)),
    ...(report.threads > 1 ? [scalings(report)] : []),
    ...(report.chromium ? [chromium(report)] : []),
    memory(report),
  ];
}

function asked(report) {
  return {
    title: 'Required and measured',
    head: ['figure', 'required', 'measured', 'rounds', 'bound', 'met'],
    rows: checks(report).map(({ what, asked, measured, rounds = '', bound = '', met }) => [
      ...[what, asked, measured, rounds, bound, met ? 'yes' : 'no'],
    ]),
  };
}

function sizes(report) {
  const coders = [...new Set(report.sizes.flatMap(({ rows }) => rows.map(({ coder }) => coder)))];
  return {
    title: 'Sizes',
    note: 'All bytes that are stored, divided by the raw tensor bytes of the model.',
    head: ['', ...report.sizes.map(({ name }) => name)],
    rows: coders.map((coder) => [
      coder,
      ...report.sizes.map(({ name }) => share(report, name, coder)?.toFixed(4) ?? ''),
    ]),
  };
}

function speeds(report, { name, bytes, samples }) {
  const coders = [...new Set(samples.map(({ coder }) => coder))];
  const columns = ['memory', 'process'].flatMap((timed) =>
    ['decode', 'encode'].map((direction) => ({ timed, direction })),
  );
  const cell = (coder, column) => {
    const figures = summary(samplesOf(report, name, { coder, ...column }));
    return figures ? `${mb(figures.median)} (${mb(figures.least)} to ${mb(figures.most)})` : '';
  };
  return {
    title: `Speeds of ${name}`,
    note: `Median speed in MB/s for ${bytes.toLocaleString('en')} bytes; in brackets, the slowest and the fastest round.`,
    head: ['', 'decode, in memory', 'encode, in memory', 'decode, process', 'encode, process'],
    rows: coders.map((coder) => [coder, ...columns.map((column) => cell(coder, column))]),
  };
}

function scalings(report) {
  const cases = report.speeds.flatMap(({ name }) =>
    ['bitx v2', 'bitx v2 fast', 'bitx v1'].flatMap((coder) =>
      ['decode', 'encode'].map((direction) => ({ name, coder, direction })),
    ),
  );
  return {
    title: 'Threads',
    note: `Speed in MB/s with 1 and with ${report.threads} threads, compute only.`,
    head: ['', '1', `${report.threads}`, 'ratio', 'rounds'],
    rows: cases.map(({ name, coder, direction }) => {
      const of = (threads) => samplesOf(report, name, { coder, timed: 'memory', direction, threads });
      const { median, least, most } = scaling(report, name, direction, coder);
      const ratios = [median.toFixed(2), `${least.toFixed(2)} to ${most.toFixed(2)}`];
      const medians = [of(1), of(report.threads)].map((samples) => mb(summary(samples).median));
      return [`${direction} ${name}, ${coder}`, ...medians, ...ratios];
    }),
  };
}

function chromium({ chromium: rows }) {
  return {
    title: 'Chromium',
    note: `Median speed in MB/s inside the codec and from Blob to Blob, in ${rows[0].engine.replace('c', 'C')}.`,
    head: ['', 'mode', 'threads', 'in the codec', 'Blob to Blob', 'wasm memory, MB'],
    rows: rows.map(({ pair, mode, threads, decode_mb_s, restore_mb_s, wasm_peak_bytes }) => [
      ...[pair, mode, `${threads}`, mb(decode_mb_s), mb(restore_mb_s), mb(wasm_peak_bytes / 1e6)],
    ]),
  };
}

function memory({ memory: rows }) {
  return {
    title: 'Memory',
    note: 'Peak resident memory of the whole process. The effort is `default` unless the row names another.',
    head: ['', 'model', 'MB of the model', 'peak, MB', 'seconds'],
    rows: rows.map(({ what, coder, model, bytes, peak, seconds }) => [
      ...[`${what}, ${coder}`, model, mb(bytes / 1e6), (peak / 1e6).toFixed(1), seconds.toFixed(2)],
    ]),
  };
}

const mb = (value) => Math.round(value).toLocaleString('en');
