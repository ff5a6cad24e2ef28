import { expect, test } from 'vitest';
import { PLACEHOLDERS, snippet } from './snippets.js';

test('code names the files, and quotes them', () => {
  const files = { bases: ["it's a.safetensors"], delta: 'https://x.example/a/t.bitx?b=1&c=2' };
  expect(snippet('page', files)).toContain("base: 'it\\'s a.safetensors',");
  expect(snippet('shell', files)).toBe(
    `curl -LO 'https://x.example/a/t.bitx?b=1&c=2'\n` +
      `bitx decompress 'it'\\''s a.safetensors' t.bitx -o fine-tune.safetensors\n`,
  );
});

test('shards are a list', () => {
  const files = { bases: ['a.safetensors', 'b.safetensors'], delta: 't.bitx' };
  expect(snippet('node', files)).toContain("base: ['a.safetensors', 'b.safetensors'],");
  expect(snippet('shell', files)).toBe(
    'bitx decompress a.safetensors t.bitx -b b.safetensors -o fine-tune.safetensors\n',
  );
});

test('without files, placeholders stand for them', () => {
  expect(snippet('shell', PLACEHOLDERS)).toContain('bitx decompress base.safetensors fine-tune.bitx');
});
