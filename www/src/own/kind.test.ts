import { expect, test } from 'vitest';
import { kindOf } from './kind.js';

const kind = (text: string) => kindOf(Uint8Array.from(text, (character) => character.charCodeAt(0)));

test('files that are no models have names', () => {
  const kinds = {
    '\x89PNG\r\n': 'a PNG image',
    '\xff\xd8\xff\xe0': 'a JPEG image',
    '%PDF-1.7': 'a PDF document',
    'RIFF\0\0\0\0WEBPVP8 ': 'a WebP image',
    '\n <!doctype html>': 'a web page',
    '<HTML>': 'a web page',
    BITXv002: 'an archive of bitx',
    'version https://git-lfs.github.com/spec/v1': 'a pointer of Git LFS, not the file itself',
    ' { "error": "gone" }': 'a JSON file',
  };
  for (const [text, name] of Object.entries(kinds)) expect(kind(text), text).toBe(name);
});

test('models, and files too short to tell, have none', () => {
  for (const text of ['', '<', 'GGUF\x03', 'PK\x03\x04', '\x10\0\0\0\0\0\0\0{"__metadata__":', '\x08\x07']) {
    expect(kind(text), text).toBeUndefined();
  }
});
