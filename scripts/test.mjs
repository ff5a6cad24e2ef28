/**
 * Sets everything up and runs all tests: `npm test`. With words, runs only the steps whose names
 * contain one of them: `npm test -- clippy`.
 */
import { setup } from './setup.mjs';
import { runSteps, select } from './test/runner.mjs';
import { STEPS } from './test/steps.mjs';

const steps = select(STEPS, process.argv.slice(2));
await setup({ tests: true });
await runSteps(steps);
