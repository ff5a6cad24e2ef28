import { spawnSync } from 'node:child_process';

/** Runs a program to its end: `{ seconds, stdout, stderr }`, the start of the process included. */
export function time(binary, args) {
  const begun = process.hrtime.bigint();
  const { status, stdout, stderr, error } = spawnSync(binary, args.map(String), { encoding: 'utf8' });
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  if (error) throw error;
  if (status !== 0) throw new Error(`${binary} ${args.join(' ')}: exit code ${status}: ${stderr.trim()}`);
  return { seconds, stdout, stderr };
}

/**
 * Calls each task in turn, round after round, so that a slow moment of the machine meets all of them; the first
 * round warms up and does not count. Resolves to the samples of each task.
 */
export function interleave(runs, tasks) {
  const samples = tasks.map(() => []);
  for (let round = 0; round <= runs; round++) {
    for (const [index, task] of tasks.entries()) {
      const sample = task();
      if (round > 0) samples[index].push(sample);
    }
  }
  return samples;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
