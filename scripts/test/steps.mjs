/** The steps of `npm test` in order: those that fail soonest and need least come first. */
import { build } from '../build.mjs';
import { AUDIT_STEPS } from './audit.mjs';
import { END_TO_END_STEPS } from './end-to-end.mjs';
import { PACKAGE_STEPS, SOURCE_STEPS } from './javascript.mjs';
import { PYTHON_STEPS } from './python.mjs';
import { RUST_STEPS } from './rust.mjs';
import { TARGET_STEPS } from './targets.mjs';
import { CLIPPY_WASM_STEPS, WASM_STEPS } from './wasm.mjs';

export const STEPS = [
  ...SOURCE_STEPS,
  ...AUDIT_STEPS,
  ...RUST_STEPS,
  ...PYTHON_STEPS,
  ...TARGET_STEPS,
  ...CLIPPY_WASM_STEPS,
  ...WASM_STEPS,
  { name: 'build', run: build },
  ...PACKAGE_STEPS,
  ...END_TO_END_STEPS,
];
