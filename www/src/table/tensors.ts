import type { ArchiveInfo, TensorInfo, TensorPlace } from 'bitx-wasm';
import { bytes, counted, percent } from '../format.js';
import type { Column } from './rows.js';
import { table } from './table.js';

/** The fields that tensors of archives and of models have in common. */
type Named = Pick<TensorPlace, 'name' | 'dtype' | 'shape'>;

const name: Column<Named> = {
  title: 'Tensor',
  head: true,
  value: (tensor) => tensor.name,
  text: (tensor) => tensor.name,
};
const type: Column<Named> = {
  title: 'Type',
  value: (tensor) => tensor.dtype,
  text: (tensor) => tensor.dtype,
};
const shape: Column<Named> = {
  title: 'Shape',
  value: (tensor) => tensor.shape.reduce((product, extent) => product * extent, 1),
  text: (tensor) => tensor.shape.join(' × ') || 'scalar',
};

/** Returns a column of sizes in bytes. */
function size<R>(title: string, of: (row: R) => number): Column<R> {
  return { title, figure: true, value: of, text: (row) => bytes(of(row)) };
}

const share: Column<TensorInfo> = {
  title: 'Share',
  figure: true,
  value: ({ storedBytes, restoredBytes }) => storedBytes / Math.max(1, restoredBytes),
  text: ({ storedBytes, restoredBytes }) => percent(storedBytes, restoredBytes),
};
const method: Column<TensorInfo> = {
  title: 'Method',
  value: (tensor) => tensor.method,
  text: (tensor) => tensor.method,
};

/** Returns a table of an archive's tensors, with the columns first that matter most. */
export function archiveTable({ tensors }: ArchiveInfo): HTMLElement {
  return table<TensorInfo>(
    tensors,
    [
      name,
      size('Stored', (tensor) => tensor.storedBytes),
      share,
      size('Restored', (tensor) => tensor.restoredBytes),
      method,
      type,
      shape,
    ],
    {
      id: 'tensors',
      caption: counted(tensors.length, 'tensor'),
      search: ({ name, dtype, method }) => `${name} ${dtype} ${method}`,
    },
  );
}

/** Returns a table of a model's tensors. */
export function modelTable(tensors: TensorPlace[]): HTMLElement {
  return table<TensorPlace>(
    tensors,
    [name, size('Size', (tensor) => tensor.length), type, shape, size('Offset', (tensor) => tensor.offset)],
    {
      id: 'tensors',
      caption: counted(tensors.length, 'tensor'),
      search: ({ name, dtype }) => `${name} ${dtype}`,
    },
  );
}
