/** Returns a request to the core: lines of a field's name and its value. A list has a line each. */
export function requestOf(fields: object): string {
  const lines = Object.entries(fields).filter(([, value]) => value !== undefined);
  return lines.flatMap(([field, value]) => [value].flat().map((one) => `${field} ${one}`)).join('\n');
}
