/** What the samples of a report come to. */
import { median } from './measure.mjs';

/** The samples of one coder: `direction` is `encode` or `decode`, `timed` is `memory` or `process`. */
export function samplesOf(report, pair, { coder, timed, direction, threads = report.threads }) {
  const { samples } = report.speeds.find(({ name }) => name === pair);
  const same = (sample) =>
    sample.coder === coder && sample.timed === timed && (sample.threads === threads || !isOurs(coder));
  return samples.find(same)?.[direction] ?? [];
}

export const isOurs = (coder) => coder.startsWith('bitx v');

/** Median and extremes, or undefined where nothing was measured. */
export function summary(samples) {
  if (samples.length === 0) return undefined;
  return { median: median(samples), least: Math.min(...samples), most: Math.max(...samples) };
}

/** The ratio of two medians; its extremes are those of single rounds, which tell how noisy the machine was. */
export function ratio(mine, theirs) {
  const rounds = mine.map((sample, round) => sample / theirs[round]);
  return { ...summary(rounds), median: median(mine) / median(theirs) };
}

/** What a coder takes of a model's raw tensor bytes, or undefined. */
export function share(report, name, coder) {
  const model = report.sizes.find((sizes) => sizes.name === name);
  const row = model?.rows.find((row) => row.coder === coder);
  return row && row.bytes / model.raw;
}
