/**
 * The end-to-end tests, which run against the built package. Every `*.test.mjs` directly in the
 * folder is included; subfolders have tests that need more than set-up installs.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/paths.mjs';
import { run } from '../lib/run.mjs';

const folder = join('tests', 'e2e');
const EXTENSION = '.test.mjs';

/** The names of the tests: those of their files, without the extension. */
const names = readdirSync(join(root, folder))
  .filter((file) => file.endsWith(EXTENSION))
  .map((file) => file.slice(0, -EXTENSION.length));

/**
 * The topic of the tests that measure how a page responds, which other work would disturb: the last
 * word of their files' names.
 */
const RESPONSIVE = 'responsive';

/** Returns the topic of a file: `responsive`, or the first word of its name. */
function topicOf(name) {
  const words = name.split('-');
  return words.at(-1) === RESPONSIVE ? RESPONSIVE : words[0];
}

/** One step for each topic. All but the responsive one, the last, may run beside one another. */
export const END_TO_END_STEPS = [...new Set([...names.map(topicOf), RESPONSIVE])]
  .toSorted((a, b) => Number(a === RESPONSIVE) - Number(b === RESPONSIVE))
  .map((topic) => ({
    name: `end to end, ${topic}`,
    run: (output) =>
      nodeTest(
        names.filter((name) => topicOf(name) === topic),
        output,
      ),
    needs: ['build'],
    beside: topic !== RESPONSIVE,
  }));

/** Runs the files whose names contain one of the words; all files without a word. */
export function endToEnd(words) {
  const tests =
    words.length === 0 ? names : names.filter((name) => words.some((word) => name.includes(word)));
  if (tests.length === 0) throw new Error(`no test has such a name; the tests are ${names.join(', ')}`);
  return nodeTest(tests);
}

/**
 * Builds and runs the matrix of bundlers, which it downloads; with words, only the cells whose
 * names contain one of them. It is no step of `npm test`, since it takes minutes.
 */
export function testBuilds(words) {
  const options = ['--test', '--test-reporter=spec', '--test-timeout=1800000'];
  const env = words.length > 0 ? { BUILDS: words.join(',') } : {};
  return run('node', [...options, 'tests/builds/builds.test.mjs'], { env });
}

function nodeTest(tests, output) {
  const files = tests.map((name) => join(folder, name + EXTENSION));
  const options = ['--test-reporter=spec', '--test-concurrency=1', '--test-timeout=900000'];
  return run('node', ['--test', ...options, ...files], output);
}
