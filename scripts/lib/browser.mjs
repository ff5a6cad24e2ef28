import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CHROMIUM } from '../setup.mjs';
import { which } from './run.mjs';

/** What lets Chromium run in containers, and keeps it from the network. */
const ARGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
];

/** Starts the system's Chromium with private windows, whose storage is in the memory of the browser's own process. */
export function launch() {
  return chromium.launch({ executablePath: which(...CHROMIUM), args: ARGS });
}

/** Runs `action` on a Chromium with a profile on the disk, as users have it, which is deleted afterwards. */
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

/** Starts it with a profile that outlives the browser. */
export function launchProfile(folder) {
  return chromium.launchPersistentContext(folder, { executablePath: which(...CHROMIUM), args: ARGS });
}
