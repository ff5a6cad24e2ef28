import { expect, test } from 'vitest';
import { fileUrl, listedPaths, listingUrl, readAddress } from './model-id.js';

test('lines are addresses, model ids or neither', () => {
  expect(readAddress(' https://x.example/a b.safetensors ')).toEqual({
    kind: 'url',
    url: new URL('https://x.example/a%20b.safetensors'),
  });
  expect(readAddress('org/model-7B.v2')).toEqual({ kind: 'id', id: 'org/model-7B.v2', revision: 'main' });
  expect(readAddress('org/model@refs/pr/1')).toEqual({ kind: 'id', id: 'org/model', revision: 'refs/pr/1' });
  for (const line of [
    '',
    'model',
    'a/b/c',
    '../x',
    'org/',
    'javascript:alert(1)',
    'http://[',
    'file:///a/b',
  ]) {
    expect(readAddress(line), line).toBeUndefined();
  }
});

test('a model id becomes the addresses of its hub', () => {
  for (const hub of ['https://hub.example', 'https://hub.example/']) {
    expect(listingUrl(hub, 'org/model', 'main').href).toBe(
      'https://hub.example/api/models/org/model/revision/main',
    );
    expect(fileUrl(hub, 'org/model', 'refs/pr/1', 'sub/a#1.safetensors').href).toBe(
      'https://hub.example/org/model/resolve/refs%2Fpr%2F1/sub/a%231.safetensors',
    );
  }
});

test('a listing that is none has no files', () => {
  expect(listedPaths({ siblings: [{ rfilename: 'a' }, {}, null, { rfilename: 3 }] })).toEqual(['a']);
  for (const listing of [null, 1, 'x', {}, { siblings: 'a' }]) expect(listedPaths(listing)).toEqual([]);
});
