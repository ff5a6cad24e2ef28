/**
 * The tools that cargo installs for the project, in a folder of their own: the scripts never use
 * tools that a machine happens to have. `BITX_TOOLS` names another folder, which several clones may
 * share.
 */
import { join } from 'node:path';
import { root, toolBin, toolFolder } from './paths.mjs';
import { capture, run } from './run.mjs';
import { STABLE, WASM_BINDGEN } from './toolchain.mjs';

/** The version of each crate, and the program that reports the installed version. */
const TOOLS = {
  // The tool and the library speak a private protocol, so their versions must be the same.
  'wasm-bindgen-cli': { version: WASM_BINDGEN, program: 'wasm-bindgen' },
  'wasm-pack': { version: '0.15.1', program: 'wasm-pack' },
};

/** Returns the path of an installed tool's program. */
export function tool(program) {
  return join(toolBin, program);
}

/**
 * Installs a tool, unless the wanted version is installed. It is not optimised: a tool runs for
 * less than a second, and optimising it takes minutes.
 */
export async function installTool(crate) {
  const { version, program } = TOOLS[crate];
  if (capture(tool(program), ['--version'])?.endsWith(` ${version}`)) return;
  await run('cargo', ['install', crate, '--version', version, '--root', toolFolder, '--debug', '--force'], {
    env: {
      RUSTUP_TOOLCHAIN: STABLE,
      CARGO_PROFILE_DEV_DEBUG: '0',
      // All tools share one folder, since they have many crates in common.
      CARGO_TARGET_DIR: join(root, 'target', 'tools'),
    },
  });
}
