import { expect, test } from 'vitest';
import { groupFiles } from './groups.js';

const group = (...paths: string[]) => {
  const { models, deltas } = groupFiles(paths.map((path) => ({ path })));
  const plain = (list: typeof models) =>
    list.map(({ name, files }) => [name, ...files.map(({ path }) => path)]);
  return { models: plain(models), deltas: plain(deltas) };
};

test('single files are what they are', () => {
  expect(group('a.safetensors', 'b.bitx', 'photo.png')).toEqual({
    models: [
      ['a.safetensors', 'a.safetensors'],
      ['photo.png', 'photo.png'],
    ],
    deltas: [['b.bitx', 'b.bitx']],
  });
});

test('shards come together in order', () => {
  const { models } = group(
    'm-00002-of-00003.safetensors',
    'm-00010-of-00003.safetensors',
    'm-00001-of-00003.safetensors',
  );
  expect(models).toEqual([
    [
      'm.safetensors',
      'm-00001-of-00003.safetensors',
      'm-00002-of-00003.safetensors',
      'm-00010-of-00003.safetensors',
    ],
  ]);
  expect(group('t-00002-of-00002.bitx', 't-00001-of-00002.bitx').deltas).toEqual([
    ['t.bitx', 't-00001-of-00002.bitx', 't-00002-of-00002.bitx'],
  ]);
});

test('of a folder, the best kind of model counts', () => {
  const folder = ['config.json', 'pytorch_model.bin', 'model.safetensors', 'README.md', 'onnx/model.onnx'];
  expect(group(...folder.map((path) => `tuned/${path}`)).models).toEqual([
    ['tuned/model.safetensors', 'tuned/model.safetensors'],
    ['onnx/model.onnx', 'tuned/onnx/model.onnx'],
  ]);
  expect(group('notes/a.txt', 'notes/b.txt').models).toEqual([]);
});

test('two folders are two models', () => {
  const names = group('base/model.safetensors', 'tuned/model.safetensors').models.map(([name]) => name);
  expect(names).toEqual(['base/model.safetensors', 'tuned/model.safetensors']);
});
