/// <reference types="node" />
import { pathToFileURL } from 'node:url';
import { BitxError } from './errors.js';

/**
 * Returns the address of an input. A string without a scheme is a path below the working directory,
 * whatever characters it has; the letter of a drive is no scheme.
 */
export function absolute(url: string | URL): string {
  if (typeof url === 'string' && !/^[a-z][a-z\d+.-]+:/i.test(url)) return pathToFileURL(url).href;
  try {
    return new URL(url).href;
  } catch {
    throw new BitxError('invalid-argument', `${url} is no address`);
  }
}
