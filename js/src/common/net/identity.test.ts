import { expect, test } from 'vitest';
import { differ, isStrong, validatorOf } from './identity.js';

const of = (etag?: string, modified?: string) => ({ etag, modified });

test('strong ETags and dates prove a version, weak ETags do not', () => {
  expect(isStrong(of('"a"'))).toBe(true);
  expect(isStrong(of('W/"a"'))).toBe(false);
  expect(isStrong(of(undefined, 'Mon, 01 Jan 2024 00:00:00 GMT'))).toBe(true);
  expect(isStrong(of())).toBe(false);
});

test('an ETag decides before a date, and a missing header says nothing', () => {
  expect(differ(of('"a"', 'x'), of('"a"', 'y'))).toBe(false);
  expect(differ(of('"a"', 'x'), of('"b"', 'x'))).toBe(true);
  expect(differ(of('"a"', 'x'), of(undefined, 'y'))).toBe(true);
  expect(differ(of('"a"'), of())).toBe(false);
});

test('a validator is read from the headers', () => {
  expect(validatorOf(new Headers({ etag: '"a"' }))).toEqual(of('"a"'));
});
