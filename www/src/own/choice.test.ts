import { expect, test } from 'vitest';
import { addFiles, type Choice } from './choice.js';

const files = (...paths: string[]) =>
  paths.map((path) => ({ path, file: new URL(`https://x.example/${path}`) }));
const names = ({ base, other }: Choice) => [base?.name, other?.name];
const add = (before: Choice, ...paths: string[]) => {
  const { choice, note } = addFiles(before, files(...paths));
  return { choice, names: names(choice), note };
};

test('a base and a fine-tune find their places', () => {
  expect(add({}, 'tuned.safetensors', 'base.safetensors').names).toEqual([
    'base.safetensors',
    'tuned.safetensors',
  ]);
  expect(add({}, 'b.safetensors', 'a.bitx').names).toEqual(['b.safetensors', 'a.bitx']);
  const { choice } = add({}, 'one.safetensors');
  expect(add(choice, 'two.safetensors').names).toEqual(['one.safetensors', 'two.safetensors']);
});

test('replaced files are named', () => {
  const { choice } = add({}, 'base.safetensors', 'old.bitx');
  const { names, note } = add(choice, 'new.bitx');
  expect(names).toEqual(['base.safetensors', 'new.bitx']);
  expect(note).toBe('Replaced: old.bitx.');
});

test('files without a place are named', () => {
  const { names, note } = add({}, 'base.safetensors', 'b.safetensors', 'c.safetensors');
  expect(names).toEqual(['base.safetensors', 'b.safetensors']);
  expect(note).toMatch(/^Not taken: c\.safetensors, x\.example\. Two models at a time\.$/);
  expect(add({}, 'base.safetensors', 'tuned.safetensors', 'a.bitx').note).toMatch(/Not taken: tuned/);
  const many = Array.from({ length: 10_000 }, (_, i) => `${i}.gguf`);
  expect(add({}, ...many).note).toMatch(/ and 9,995 more\. /);
});

test('a folder without models leaves the choice as it was', () => {
  const { choice } = add({}, 'base.safetensors');
  const after = add(choice, 'photos/a.png', 'photos/b.png');
  expect(after.names).toEqual(names(choice));
  expect(after.note).toMatch(/^No model was found in photos:/);
});

test('an adapter and its configuration find their places, in any order', () => {
  const [adapter, config] = ['lora/adapter_model.safetensors', 'lora/adapter_config.json'];
  const all = add({}, config, 'model.safetensors', adapter);
  expect(all.names).toEqual(['model.safetensors', adapter]);
  expect(all.choice.config?.path).toBe(config);
  const { choice } = add({}, config);
  expect(names(choice)).toEqual([undefined, undefined]);
  const later = add(add(choice, adapter).choice, 'model.safetensors');
  expect(later.names).toEqual(['model.safetensors', adapter]);
  expect(later.choice.config?.path).toBe(config);
});

test('a configuration goes with its adapter', () => {
  const { choice } = add({}, 'model.safetensors', 'a/adapter_model.safetensors', 'a/adapter_config.json');
  const after = add(choice, 'tuned.bitx');
  expect(after.names).toEqual(['model.safetensors', 'tuned.bitx']);
  expect(after.choice.config).toBe(undefined);
});
