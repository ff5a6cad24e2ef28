import type { Link } from '../send/query.js';
import type { Task } from './slots.js';
import type { Model } from './source.js';

/** Returns the link that a task is, if all of its files are at addresses. */
export function linkOf(task: Task): Link | undefined {
  const urls = ({ files }: Model) => files.map(({ file }) => file).filter((file) => file instanceof URL);
  const all = (model: Model) => urls(model).length === model.files.length;
  if (task.kind === 'look') {
    const [model, ...more] = urls(task.model);
    return model && more.length === 0 ? { kind: 'look', model } : undefined;
  }
  if (task.kind !== 'restore' || !all(task.base)) return undefined;
  const [delta, ...more] = urls(task.delta);
  return delta && more.length === 0 ? { kind: 'restore', bases: urls(task.base), delta } : undefined;
}
