/** The files that a piece of code restores from. */
export interface Files {
  bases: string[];
  delta: string;
}

/** The files of a reader who has chosen none. */
export const PLACEHOLDERS: Files = { bases: ['base.safetensors'], delta: 'fine-tune.bitx' };

/** The places where the same restore runs. */
export type Place = 'page' | 'node' | 'shell';

/** Returns the code that restores a fine-tune in a page, in Node or in a shell. */
export function snippet(place: Place, files: Files): string {
  return { page, node, shell }[place](files);
}

function page(files: Files): string {
  return `import { Bitx } from 'bitx-wasm'; // npm install bitx-wasm

const bitx = await Bitx.create();
const model = await bitx.restore({
  base: ${base(files)},
  delta: ${quoted(files.delta)},
}); // a Blob
bitx.dispose();
`;
}

function node(files: Files): string {
  return `import { writeFile } from 'node:fs/promises';
import { Bitx } from 'bitx-wasm'; // npm install bitx-wasm

const bitx = await Bitx.create();
const model = await bitx.restore({
  base: ${base(files)},
  delta: ${quoted(files.delta)},
});
await writeFile('fine-tune.safetensors', model.stream());
bitx.dispose();
`;
}

function shell({ bases, delta }: Files): string {
  const isUrl = (file: string) => /^https?:/.test(file);
  const fetched = [...bases, delta].filter(isUrl).map((file) => `curl -LO ${word(file)}\n`);
  const local = (file: string) => word(isUrl(file) ? nameOf(file) : file);
  const [first = '', ...more] = bases.map(local);
  const others = more.map((file) => ` -b ${file}`).join('');
  return `${fetched.join('')}bitx decompress ${first} ${local(delta)}${others} -o fine-tune.safetensors\n`;
}

function base({ bases }: Files): string {
  return bases.length === 1 ? quoted(bases[0] ?? '') : `[${bases.map(quoted).join(', ')}]`;
}

/** Returns a string of JavaScript. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** Returns a word of a shell, in quotes if it needs them. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Returns the name under which curl stores a file. */
function nameOf(url: string): string {
  return new URL(url).pathname.split('/').findLast((part) => part !== '') ?? 'index.html';
}
