import type { Board } from './board.js';

/**
 * Runs tasks that wait for each other on a board. If one fails, the others are stopped before this
 * rejects.
 */
export async function together<T>(
  board: Board,
  stop: AbortController,
  tasks: [Promise<T>, ...Promise<unknown>[]],
): Promise<T> {
  try {
    const [first] = await Promise.all(tasks);
    return first;
  } catch (error) {
    stop.abort(error);
    board.close();
    await Promise.allSettled(tasks);
    throw error;
  }
}
