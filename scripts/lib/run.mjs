import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cargoBin, root, toolBin } from './paths.mjs';

/**
 * The search path: tools of the set-up are found without a new shell, and before those of the
 * machine.
 */
const PATH = [join(root, 'node_modules', '.bin'), toolBin, cargoBin, process.env.PATH].join(delimiter);

/**
 * Runs a command in the project. Its output is that of this process, or goes to `show` in parts.
 * Rejects unless the command exits with 0.
 */
export function run(command, args, { env = {}, cwd = root, show } = {}) {
  return new Promise((resolve, reject) => {
    const output = show ? 'pipe' : 'inherit';
    const child = spawn(command, args, { cwd, env: environment(env), stdio: ['ignore', output, output] });
    for (const stream of show ? [child.stdout, child.stderr] : []) stream.on('data', show);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ${args.join(' ')}: ended with ${signal ?? `exit code ${code}`}`));
    });
  });
}

/**
 * Runs a command without output, and returns what it printed, or undefined if it failed. With
 * `anyStatus`, an exit code other than 0 is no failure.
 */
export function capture(command, args, { anyStatus = false } = {}) {
  const { status, stdout } = spawnSync(command, args, { cwd: root, env: environment({}), encoding: 'utf8' });
  return status === 0 || anyStatus ? stdout?.trim() : undefined;
}

/** Returns the path of the first of these programs that is installed. */
export function which(...names) {
  for (const name of names) {
    for (const folder of PATH.split(delimiter)) {
      const path = join(folder, name);
      if (isExecutable(path)) return path;
    }
  }
  return undefined;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function environment(extra) {
  return { ...process.env, PATH, ...extra };
}
