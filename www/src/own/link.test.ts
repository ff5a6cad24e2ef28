import { expect, test } from 'vitest';
import { linkOf } from './link.js';
import { ofUrl } from './source.js';

const url = (name: string) => new URL(`https://x.example/${name}`);
const model = (...names: string[]) => ({
  name: names[0] ?? '',
  files: names.map((name) => ofUrl(url(name))),
});
const local = { name: 'own', files: [{ path: 'own.safetensors', file: new File([], 'own.safetensors') }] };

test('tasks whose files are all at addresses are links', () => {
  expect(linkOf({ kind: 'restore', base: model('a', 'b'), delta: model('c.bitx') })).toEqual({
    kind: 'restore',
    bases: [url('a'), url('b')],
    delta: url('c.bitx'),
  });
  expect(linkOf({ kind: 'look', model: model('a') })).toEqual({ kind: 'look', model: url('a') });
});

test('others are not', () => {
  expect(linkOf({ kind: 'restore', base: local, delta: model('c.bitx') })).toBeUndefined();
  expect(linkOf({ kind: 'restore', base: model('a'), delta: model('c.bitx', 'd.bitx') })).toBeUndefined();
  expect(linkOf({ kind: 'look', model: local })).toBeUndefined();
  expect(linkOf({ kind: 'compress', base: model('a'), target: model('b'), effort: 'fast' })).toBeUndefined();
});
