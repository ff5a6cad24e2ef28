import { expect, test, vi } from 'vitest';
import { absolute } from './address.js';

test('a page has a base address', () => {
  vi.stubGlobal('document', { baseURI: 'https://page.example/app/' });
  vi.stubGlobal('location', { href: 'https://page.example/other' });
  expect(absolute('models/a')).toBe('https://page.example/app/models/a');
  expect(absolute('/models/a')).toBe('https://page.example/models/a');
  expect(absolute(new URL('https://hub.example/x'))).toBe('https://hub.example/x');
});

test('a worker has only its own', () => {
  vi.stubGlobal('location', { href: 'https://page.example/sw/sw.js' });
  expect(absolute('models/a')).toBe('https://page.example/sw/models/a');
});
