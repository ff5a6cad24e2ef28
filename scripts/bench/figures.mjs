/** Figures computed from the samples of a report. */
import { median } from './measure.mjs';

/**
 * The samples of one coder: `direction` is `encode` or `decode`, `timed` is `memory` or `process`.
 */
export function samplesOf(report, pair, { coder, timed, direction, threads = report.threads }) {
  const { samples } = report.speeds.find(({ name }) => name === pair);
  const same = (sample) =>
    sample.coder === coder && sample.timed === timed && (sample.threads === threads || !isOurs(coder));
  return samples.find(same)?.[direction] ?? [];
}

export const isOurs = (coder) => coder.startsWith('bitx v');

/** The median and the extremes of samples. Undefined if there are none. */
export function summary(samples) {
  if (samples.length === 0) return undefined;
  return { median: median(samples), least: Math.min(...samples), most: Math.max(...samples) };
}

/**
 * The ratio of two medians, and the extremes of the ratios of single rounds, which show how noisy
 * the machine was.
 */
export function ratio(mine, theirs) {
  const rounds = mine.map((sample, round) => sample / theirs[round]);
  return { ...summary(rounds), median: median(mine) / median(theirs) };
}

/**
 * The size that a coder needs, as a share of the raw tensor bytes of the model. Undefined if it was
 * not measured.
 */
export function share(report, name, coder) {
  const model = report.sizes.find((sizes) => sizes.name === name);
  const row = model?.rows.find((row) => row.coder === coder);
  return row && row.bytes / model.raw;
}
