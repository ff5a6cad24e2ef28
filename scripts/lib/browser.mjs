import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CHROMIUM } from '../setup.mjs';
import { which } from './run.mjs';

/** The arguments with which Chromium runs in containers and makes no requests of its own. */
const ARGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
];

/**
 * Starts the system's Chromium with private windows, which store files in the memory of the
 * browser's process.
 */
export function launch() {
  return chromium.launch({ executablePath: which(...CHROMIUM), args: ARGS });
}

/**
 * Calls `action` with a Chromium that has a profile on disk, as users have, and deletes the profile
 * afterwards.
 */
export async function withProfile(action) {
  const folder = mkdtempSync(join(tmpdir(), 'bitx-profile-'));
  const context = await launchProfile(folder);
  try {
    return await action(context);
  } finally {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Starts the system's Chromium with a profile in `folder`, which is kept when the browser ends. */
export function launchProfile(folder) {
  return chromium.launchPersistentContext(folder, { executablePath: which(...CHROMIUM), args: ARGS });
}
