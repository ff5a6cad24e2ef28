/** The browsers besides Chromium, through the drivers of their makers. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Builder } from 'selenium-webdriver';
import { DriverService } from 'selenium-webdriver/remote/index.js';
import { which } from '../../../scripts/lib/run.mjs';

const LIBRARIES = '/usr/lib';

/** The storage features that Safari has and WebKitGTK disables by default. */
const LIKE_SAFARI = '--features=+StorageAPI,+StorageAPIEstimate,+FileSystem,+FileSystemWritableStream';

export const BROWSERS = {
  firefox: {
    program: () => which('firefox-esr', 'firefox'),
    driver: () => which('geckodriver'),
    needs: 'Firefox and geckodriver (Debian: firefox-esr; cargo install geckodriver)',
    capabilities: (binary) => ({
      browserName: 'firefox',
      'moz:firefoxOptions': { binary, args: ['-headless'] },
    }),
    display: false,
    keeps: true,
  },
  webkit: {
    program: miniBrowser,
    driver: () => which('WebKitWebDriver'),
    needs: 'MiniBrowser and WebKitWebDriver (Debian: webkit2gtk-driver, and xvfb where there is no display)',
    capabilities: (binary) => ({
      browserName: 'MiniBrowser',
      'webkitgtk:browserOptions': { binary, args: ['--automation', LIKE_SAFARI] },
    }),
    display: true,
    // This is off by default, and on in Safari for cross-origin isolated pages.
    environment: { JSC_useSharedArrayBuffer: '1' },
    // Under a driver, the browser uses a private window: there is no private file system, and
    // stored data is lost with the page.
    keeps: false,
  },
};

/** The browser of WebKitGTK, which distributions install beside its library. */
function miniBrowser() {
  const found = which('MiniBrowser');
  if (found || !existsSync(LIBRARIES)) return found;
  const folders = readdirSync(LIBRARIES).flatMap((folder) => [
    join(LIBRARIES, folder, 'webkit2gtk-4.1'),
    join(LIBRARIES, folder, 'webkit2gtk-4.0'),
  ]);
  return folders.map((folder) => join(folder, 'MiniBrowser')).find(existsSync);
}

/** Returns the reason why a browser cannot be started here; undefined if it can. */
export function obstacle({ program, driver, needs, display }) {
  if (!program() || !driver()) return `not installed: ${needs}`;
  if (display && !process.env.DISPLAY && !which('Xvfb')) return 'there is no display, and no Xvfb';
  return undefined;
}

/** Starts a browser with a fresh profile; `stop` ends it and its helpers. */
export async function launch({ program, driver, capabilities, display, environment = {} }) {
  const screen = display && !process.env.DISPLAY ? await virtualDisplay() : undefined;
  const env = { ...process.env, ...environment, ...(screen && { DISPLAY: screen.name }) };
  const service = new DriverService.Builder(driver()).setLoopback(true).setEnvironment(env).build();
  const stop = async (browser) => {
    await browser?.quit().catch(() => {});
    await service.kill();
    screen?.process.kill();
  };
  try {
    const address = await service.start();
    const builder = new Builder().usingServer(address).withCapabilities(capabilities(program()));
    const browser = await builder.build();
    await browser.manage().setTimeouts({ script: 60_000, pageLoad: 60_000 });
    return { browser, stop: () => stop(browser) };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Starts a virtual screen with the first free number. */
async function virtualDisplay() {
  const args = ['-displayfd', '3', '-screen', '0', '800x600x24', '-nolisten', 'tcp'];
  const child = spawn(which('Xvfb'), args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const number = await new Promise((resolve, reject) => {
    child.stdio[3].once('data', (bytes) => resolve(String(bytes).trim()));
    child.once('exit', (code) => reject(new Error(`Xvfb ended with ${code}`)));
  });
  return { name: `:${number}`, process: child };
}
