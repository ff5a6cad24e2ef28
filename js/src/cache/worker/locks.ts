/**
 * The end of each queue, for browsers without locks. There, a worker shares its store with nobody.
 */
const queues = new Map<string, Promise<unknown>>();

/**
 * Runs `action` while it holds all of the locks, which are taken in the given order and exclude
 * others in the same origin.
 */
export async function locked<T>(
  [name, ...others]: string[],
  signal: AbortSignal,
  action: () => Promise<T>,
): Promise<T> {
  if (name === undefined) return action();
  const inner = () => locked(others, signal, action);
  return navigator.locks ? navigator.locks.request(name, { signal }, inner) : queued(name, inner);
}

function queued<T>(name: string, action: () => Promise<T>): Promise<T> {
  const turn = (queues.get(name) ?? Promise.resolve()).then(action, action);
  queues.set(name, turn);
  return turn;
}
