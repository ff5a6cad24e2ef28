/** Runs the steps of `npm test` in their order, and reports the result of each. */
import { availableParallelism } from 'node:os';

/** The number of steps that run at the same time, of those that may. */
const AT_ONCE = Math.min(2, availableParallelism());

/**
 * Selects steps by words, or all steps without a word. A word selects the step of that name, or
 * else all steps whose names contain it, and the steps that these need. A step is
 * `{ name, run, needs, beside }`, where `needs` lists the names of earlier steps. Consecutive steps
 * with `beside` may run at the same time.
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
  const begun = performance.now();
  const results = [];
  for (const group of groupsOf(steps)) results.push(...(await runGroup(group)));
  const failed = results.filter(({ passed }) => !passed);
  printDurations(results, (performance.now() - begun) / 1000);
  if (failed.length > 0) console.error(`\nFailed: ${failed.map(({ name }) => name).join('; ')}`);
  console.log(`\n${results.length - failed.length} passed, ${failed.length} failed`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}

/** Returns the steps in groups: consecutive ones that may run beside one another, or a single one. */
function groupsOf(steps) {
  const groups = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (step.beside && last?.at(-1).beside) last.push(step);
    else groups.push([step]);
  }
  return groups;
}

/** Runs the steps of a group, some at a time. Returns their results in the order of the steps. */
async function runGroup(steps) {
  if (steps.length === 1 || AT_ONCE === 1) {
    const results = [];
    for (const step of steps) results.push(await runStep(step, console.log));
    return results;
  }
  const results = new Map();
  const waiting = [...steps];
  const lane = async () => {
    for (let step = waiting.shift(); step; step = waiting.shift()) results.set(step, await runBeside(step));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return steps.map((step) => results.get(step));
}

/** Runs a step beside others. Its output is printed as a whole when it ends. */
async function runBeside(step) {
  console.log(`\n== ${step.name}: begun`);
  const said = [];
  const result = await runStep(step, (line) => said.push(`${line}\n`), {
    show: (bytes) => said.push(bytes),
  });
  for (const part of said) process.stdout.write(part);
  return result;
}

async function runStep({ name, run }, say, output) {
  say(`\n== ${name}`);
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  try {
    await run(output);
    say(`== ${name}: passed in ${seconds().toFixed(1)} s`);
    return { name, passed: true, seconds: seconds() };
  } catch (error) {
    say(`== ${name}: FAILED: ${error.message}`);
    return { name, passed: false, seconds: seconds() };
  }
}

/** Prints the duration of each step, and that of all, which is less than the sum of those beside. */
function printDurations(results, seconds) {
  const rows = [...results, { name: 'all steps', passed: true, seconds }];
  console.log('\n   seconds  step');
  for (const { name, passed, seconds } of rows) {
    console.log(`${seconds.toFixed(1).padStart(10)}  ${name}${passed ? '' : ': FAILED'}`);
  }
}
