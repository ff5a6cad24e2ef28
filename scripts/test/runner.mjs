/** Runs the steps of `npm test` one after another, and reports the result of each. */

/**
 * Selects steps by words, or all steps without a word. A word selects the step of that name, or
 * else all steps whose names contain it, and the steps that these need. A step is
 * `{ name, run, needs }`, where `needs` lists the names of earlier steps.
 */
export function select(steps, words) {
  if (words.length === 0) return steps;
  const wanted = new Set(words.flatMap((word) => matching(steps, word)));
  const needed = new Set([...wanted].flatMap(({ needs = [] }) => needs));
  return steps.filter((step) => wanted.has(step) || needed.has(step.name));
}

function matching(steps, word) {
  const exact = steps.filter(({ name }) => name === word);
  const found = exact.length > 0 ? exact : steps.filter(({ name }) => name.includes(word));
  if (found.length > 0) return found;
  throw new Error(
    `no step's name contains "${word}"; the steps are: ${steps.map(({ name }) => name).join('; ')}`,
  );
}

/** Runs the steps and prints their durations. The process fails if one of the steps does. */
export async function runSteps(steps) {
  const results = [];
  for (const step of steps) results.push(await runStep(step));
  const failed = results.filter(({ passed }) => !passed);
  printDurations(results);
  if (failed.length > 0) console.error(`\nFailed: ${failed.map(({ name }) => name).join('; ')}`);
  console.log(`\n${results.length - failed.length} passed, ${failed.length} failed`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}

async function runStep({ name, run }) {
  console.log(`\n== ${name}`);
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  try {
    await run();
    console.log(`== ${name}: passed in ${seconds().toFixed(1)} s`);
    return { name, passed: true, seconds: seconds() };
  } catch (error) {
    console.error(`== ${name}: FAILED: ${error.message}`);
    return { name, passed: false, seconds: seconds() };
  }
}

function printDurations(results) {
  const total = results.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = [...results, { name: 'all steps', passed: true, seconds: total }];
  console.log('\n   seconds  step');
  for (const { name, passed, seconds } of rows) {
    console.log(`${seconds.toFixed(1).padStart(10)}  ${name}${passed ? '' : ': FAILED'}`);
  }
}
