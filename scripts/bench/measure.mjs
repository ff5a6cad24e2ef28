import { spawnSync } from 'node:child_process';

/**
 * Runs a program to its end, and returns `{ seconds, stdout, stderr }`. The time includes the start
 * of the process.
 */
export function time(binary, args, env = {}) {
  const begun = process.hrtime.bigint();
  const result = spawnSync(binary, args.map(String), { encoding: 'utf8', env: { ...process.env, ...env } });
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  const { status, stdout, stderr, error } = result;
  if (error) throw error;
  if (status !== 0) throw new Error(`${binary} ${args.join(' ')}: exit code ${status}: ${stderr.trim()}`);
  return { seconds, stdout, stderr };
}

/**
 * A Python script that runs a program and prints its time and memory, for machines without GNU
 * time.
 */
const RUSAGE = `
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime, used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(code)`;

const GNU_TIME = ['/usr/bin/time', '-f', '%U %S %M'];

/**
 * Runs a program to its end, and returns `{ seconds, cpu, peak, stdout }`. `cpu` is the time of all
 * its threads in seconds, and `peak` its peak memory in bytes, both as counted by the kernel.
 */
export function usage(binary, args) {
  const [program, ...options] = hasGnuTime() ? GNU_TIME : ['python3', '-c', RUSAGE];
  const { seconds, stdout, stderr } = time(program, [...options, binary, ...args]);
  const [user, system, peak] = stderr.trim().split('\n').pop().split(' ').map(Number);
  // macOS counts in bytes, all other systems in KiB.
  return { seconds, cpu: user + system, peak: peak * (process.platform === 'darwin' ? 1 : 1024), stdout };
}

/** Runs a program to its end, and returns `{ seconds, peak }`, with its peak memory in bytes. */
export function peakMemory(binary, args) {
  const { seconds, peak } = usage(binary, args);
  return { seconds, peak };
}

function hasGnuTime() {
  const [program, ...options] = GNU_TIME;
  const { stderr } = spawnSync(program, [...options, 'true'], { encoding: 'utf8' });
  return /^[\d.]+ [\d.]+ \d+$/.test(stderr?.trim() ?? '');
}

/**
 * Calls the tasks in turns, round after round, so that a slow moment of the machine affects all of
 * them. The first round warms up and does not count. Returns for each task the results of all other
 * rounds.
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
