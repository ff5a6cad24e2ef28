import { BitxError } from './errors.js';

/**
 * Throws for an option that a call does not have, since a misspelt option would be ignored, and for
 * a signal or a callback that is none. `names` are the names of the options, separated by spaces.
 */
export function checkOptions(call: string, options: object, names: string): void {
  if (!options || typeof options !== 'object') throw invalid(`${call} takes an object of options`);
  const known = names.split(' ');
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!known.includes(name)) throw invalid(`${call} has no option ${name}, but ${known.join(', ')}`);
    // A signal may belong to another window, and then be of another class.
    if (name === 'signal' && value && !('aborted' in Object(value))) fail(name, 'an AbortSignal', value);
    if (/^on[A-Z]/.test(name) && typeof value !== 'function') fail(name, 'a function', value);
  }
}

/** Throws unless the value of an option is one of the choices. */
export function checkChoice(option: string, value: unknown, choices: string[]): void {
  if (!choices.includes(value as string)) fail(option, choices.join(' or '), value);
}

/**
 * Throws unless the options with these names, separated by spaces, are whole numbers from `least`
 * to `most`, or missing.
 */
export function checkWhole(options: object, names: string, least = 0, most = Number.MAX_SAFE_INTEGER): void {
  for (const name of names.split(' ')) {
    const value = (options as Record<string, unknown>)[name] as number | undefined;
    if (value === undefined || value === most) continue;
    if (Number.isInteger(value) && value >= least && value < most) continue;
    fail(name, `a whole number from ${least} to ${most}`, value);
  }
}

function fail(option: string, wanted: string, found: unknown): never {
  throw invalid(`${option} must be ${wanted}, not ${typeof found === 'string' ? `"${found}"` : found}`);
}

function invalid(message: string): BitxError {
  return new BitxError('invalid-argument', message);
}
