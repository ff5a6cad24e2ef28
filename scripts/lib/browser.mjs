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

/** Starts the system's Chromium with a fresh profile. */
export function launch() {
  return chromium.launch({ executablePath: which(...CHROMIUM), args: ARGS });
}

/** Starts it with a profile that outlives the browser. */
export function launchProfile(folder) {
  return chromium.launchPersistentContext(folder, { executablePath: which(...CHROMIUM), args: ARGS });
}
