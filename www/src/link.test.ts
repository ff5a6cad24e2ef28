import { expect, test } from 'vitest';
import { linkSeconds } from './link.js';

test('a link carries eight bits a byte', () => {
  expect(linkSeconds(1e6, 8)).toBe(1);
  expect(linkSeconds(15e9, 100)).toBe(1200);
});
