import { expect, test } from 'vitest';
import { BitxError, fromWire, messageOf, toWire } from './errors.js';

test('an error crosses a message with its code, figures and cause', () => {
  const cause = new RangeError('too far');
  const error = new BitxError('truncated', 'delta ends early', { file: 'delta', offset: 8, found: 0, cause });
  const back = fromWire(structuredClone(toWire(error)));
  expect(back).toBeInstanceOf(BitxError);
  expect(back).toMatchObject({
    code: 'truncated',
    message: 'delta ends early',
    file: 'delta',
    offset: 8,
    found: 0,
  });
  expect(back.cause).toMatchObject({ name: 'RangeError', message: 'too far' });
});

test('unknown figures are no properties', () => {
  const error = new BitxError('network', 'gone', { url: 'https://a/' });
  expect(Object.keys(error).sort()).toEqual(['code', 'name', 'url']);
  expect('cause' in error).toBe(false);
});

test('other properties are not taken as figures', () => {
  const error = Object.assign(new BitxError('io', 'no'), { secret: 1 });
  expect(toWire(error).figures).toEqual({});
});

test('anything without a code is an internal fault', () => {
  expect(toWire(new TypeError('x is undefined'))).toMatchObject({
    code: 'internal',
    message: 'x is undefined',
  });
  expect(toWire('a string')).toMatchObject({ code: 'internal', message: 'a string' });
  // A DOMException's code is a number.
  expect(toWire(new DOMException('stop', 'AbortError')).code).toBe('internal');
});

test('a cause that is not an error is left out, since a message may not be able to carry it', () => {
  expect(toWire(new BitxError('io', 'no', { cause: () => {} }))).not.toHaveProperty('cause');
});

test('any thrown value has a message', () => {
  expect(messageOf(new Error('one'))).toBe('one');
  expect(messageOf(undefined)).toBe('undefined');
});
