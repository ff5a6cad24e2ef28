/**
 * The step that builds and checks the Python package. Its tools live in a virtual environment in
 * the folder of tools. Without Python 3.10 or pip's index, the step says so and passes.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, toolFolder } from '../lib/paths.mjs';
import { capture, run } from '../lib/run.mjs';
import { STABLE } from '../lib/toolchain.mjs';

export const PYTHON_STEPS = [{ name: 'python', run: python }];

const cwd = join(root, 'python');
const environment = join(toolFolder, 'python');
const bin = join(environment, process.platform === 'win32' ? 'Scripts' : 'bin');
const requirements = join(cwd, 'requirements-dev.txt');
const installed = join(environment, 'requirements-dev.txt');

async function python() {
  const reason = await setup();
  if (reason) {
    console.log(`skipped: ${reason}`);
    return;
  }
  const env = { VIRTUAL_ENV: environment, RUSTUP_TOOLCHAIN: STABLE };
  const step = (program, ...args) => run(join(bin, program), args, { cwd, env });
  await step('ruff', 'format', '--check');
  await step('ruff', 'check');
  await step('maturin', 'develop', '--quiet');
  await step('mypy');
  await step('pytest');
}

/** Prepares the virtual environment. Returns a reason if that is not possible. */
async function setup() {
  const wanted = readFileSync(requirements, 'utf8');
  if (existsSync(installed) && readFileSync(installed, 'utf8') === wanted) return undefined;
  if (!capture('python3', ['-c', 'import sys, venv; sys.version_info >= (3, 10) or sys.exit(1); print(1)'])) {
    return 'python3 is missing, is older than 3.10, or has no venv';
  }
  rmSync(environment, { recursive: true, force: true });
  mkdirSync(toolFolder, { recursive: true });
  try {
    await run('python3', ['-m', 'venv', environment]);
    await run(join(bin, 'pip'), ['install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
  } catch (error) {
    return `pip cannot install the tools: ${error.message}`;
  }
  writeFileSync(installed, wanted);
  return undefined;
}
