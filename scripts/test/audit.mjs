/**
 * The step that compares the dependencies with known vulnerabilities. It needs data from the
 * network, or a copy of it: without, it says so and passes.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { capture, which } from '../lib/run.mjs';

export const AUDIT_STEPS = [{ name: 'audit', run: audit }];

function audit() {
  auditCrates();
  auditPackages();
}

/** Runs cargo-audit over its local copy of the RustSec advisories. */
function auditCrates() {
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  if (!which('cargo-audit') || !existsSync(join(cargoHome, 'advisory-db'))) {
    skip('crates', 'cargo-audit and its database are not here (`cargo install cargo-audit; cargo audit`)');
    return;
  }
  for (const lock of ['Cargo.lock', join('fuzz', 'Cargo.lock')]) {
    if (capture('cargo', ['audit', '--no-fetch', '--deny', 'warnings', '--file', lock]) === undefined) {
      throw new Error(`${lock}: cargo audit found something; run \`cargo audit --file ${lock}\``);
    }
  }
}

/** Asks the registry about the npm packages. A registry without advisories answers with an error. */
function auditPackages() {
  const report = json(capture('npm', ['audit', '--json', '--package-lock-only'], { anyStatus: true }));
  if (!report?.metadata) {
    skip('npm packages', 'the registry does not answer, or has no advisories');
    return;
  }
  const { total } = report.metadata.vulnerabilities;
  if (total > 0) throw new Error(`npm audit found ${total} vulnerabilities; run \`npm audit\``);
}

function json(text) {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

function skip(what, why) {
  console.log(`skipped for the ${what}: ${why}`);
}
