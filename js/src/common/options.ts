import { BitxError } from './errors.js';

/**
 * Throws for an option that a call does not have, since a misspelt option would be ignored. `names`
 * are the names of its options, separated by spaces.
 */
export function checkOptions(call: string, options: object, names: string): void {
  const known = names.split(' ');
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !known.includes(name)) throw invalid(`${call} has no option ${name}`);
  }
}

/** Throws unless the value of an option is one of the choices. */
export function checkChoice(option: string, value: string, choices: string[]): void {
  if (!choices.includes(value)) throw invalid(`${option} must be ${choices.join(' or ')}, not ${value}`);
}

function invalid(message: string): BitxError {
  return new BitxError('invalid-argument', message);
}
