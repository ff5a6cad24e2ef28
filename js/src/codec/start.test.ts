import { expect, test } from 'vitest';
import { nextMode } from './start.js';

test('each mode is followed by a simpler one, and the last by itself', () => {
  expect(nextMode('threads')).toBe('pool');
  expect(nextMode('pool')).toBe('single');
  expect(nextMode('single')).toBe('single');
});
