/** The steps that check the Rust code for this machine. */
import { reference } from '../bench/peers.mjs';
import { run } from '../lib/run.mjs';
import { STABLE } from '../lib/toolchain.mjs';

/** The arguments that make clippy fail on a warning. */
export const STRICT = ['--', '-D', 'warnings'];

const stable = { RUSTUP_TOOLCHAIN: STABLE };

export const RUST_STEPS = [
  { name: 'rustfmt', run: () => cargo('fmt', '--all', '--check') },
  { name: 'clippy', run: () => cargo('clippy', '--workspace', '--all-targets', ...STRICT) },
  { name: 'cargo doc', run: cargoDoc },
  { name: 'cargo test', run: () => cargoTest() },
  { name: 'cargo test, ruzstd', run: cargoTestRuzstd },
];

function cargo(...args) {
  return run('cargo', args, { env: stable });
}

function cargoDoc() {
  return run('cargo', ['doc', '--workspace', '--no-deps'], {
    env: { ...stable, RUSTDOCFLAGS: '-D warnings' },
  });
}

/**
 * Runs the Rust tests; `args` go to `cargo test`. Some compare with the reference command line,
 * from which BITXv001 comes.
 */
export async function cargoTest(args = ['--no-fail-fast']) {
  await reference.prepare();
  await run('cargo', ['test', '--workspace', ...args], {
    env: { ...stable, BITX_REFERENCE: reference.binary },
  });
}

/**
 * Runs the core's tests of frames and archives with ruzstd, the decoder that is not the default.
 */
function cargoTestRuzstd() {
  const features = ['--no-default-features', '--features', 'rayon,ruzstd'];
  const tests = ['oracles', 'v1', 'v2'].flatMap((name) => ['--test', name]);
  return cargo('test', '-p', 'bitx', ...features, '--lib', ...tests);
}
