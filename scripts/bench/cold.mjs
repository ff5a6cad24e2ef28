/**
 * Prints the seconds of the first restore of a process, from memory to a stream that discards its
 * input, with one thread: `node cold.mjs DIST BASE DELTA`.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, ...paths] = process.argv.slice(2);
const { Bitx } = await import(pathToFileURL(join(dist, 'node.js')));
const [base, delta] = await Promise.all(paths.map((path) => readFile(path)));
const bitx = await Bitx.create({ mode: 'single' });
const begun = performance.now();
await bitx.restore({ base, delta, output: new WritableStream({}) });
console.log((performance.now() - begun) / 1000);
bitx.dispose();
