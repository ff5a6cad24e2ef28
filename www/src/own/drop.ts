import type { Source } from './source.js';

/** Files that are taken from folders, at most. */
export const MOST_FILES = 10_000;

/** The files of a drop, or the reason why they cannot be taken. */
export type Dropped = { sources: Source[] } | { refused: string };

/** Calls `take` with the files that are dropped on the page. Folders are read with all they hold. */
export function acceptDrops(take: (dropped: Promise<Dropped>) => void): void {
  const over = (event: DragEvent, on: boolean) => {
    event.preventDefault();
    document.body.classList.toggle('dropping', on);
  };
  document.addEventListener('dragover', (event) => over(event, true));
  document.addEventListener('dragleave', (event) => over(event, event.relatedTarget !== null));
  document.addEventListener('drop', (event) => {
    over(event, false);
    if (event.dataTransfer) take(read(event.dataTransfer));
  });
}

/** Reads a drop. The transfer is empty once its event is over, so it is emptied at once. */
function read(transfer: DataTransfer): Promise<Dropped> {
  const files = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => !!entry);
  const folders = entries.filter((entry) => entry.isDirectory) as FileSystemDirectoryEntry[];
  if (folders.length === 0) return Promise.resolve({ sources: files.map(ofFile) });
  const plain = entries.filter((entry) => entry.isFile) as FileSystemFileEntry[];
  return readAll(folders, plain);
}

async function readAll(folders: FileSystemDirectoryEntry[], plain: FileSystemFileEntry[]): Promise<Dropped> {
  const sources = (await Promise.all(plain.map(fileOf))).map(ofFile);
  const open = [...folders];
  for (let folder = open.pop(); folder; folder = open.pop()) {
    const entries = await entriesOf(folder);
    const files = entries.filter((entry) => entry.isFile) as FileSystemFileEntry[];
    // They are counted before they are opened, which takes longer.
    if (Math.max(entries.length, sources.length + files.length) > MOST_FILES) {
      return { refused: tooMany(folders.map(({ name }) => name).join(', ')) };
    }
    sources.push(...(await Promise.all(files.map(sourceOf))));
    open.push(...(entries.filter((entry) => entry.isDirectory) as FileSystemDirectoryEntry[]));
  }
  return { sources };
}

async function sourceOf(entry: FileSystemFileEntry): Promise<Source> {
  return { path: entry.fullPath.replace(/^\//, ''), file: await fileOf(entry) };
}

/** Says that a folder has more files than the page takes. */
export function tooMany(folder: string): string {
  return `${folder} has more than ${MOST_FILES.toLocaleString('en')} files.`;
}

/** Returns a file that was chosen, with its path in a chosen folder. */
export function ofFile(file: File): Source {
  return { path: file.webkitRelativePath || file.name, file };
}

/** Reads a folder, whose reader answers in portions until one is empty or there are too many. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  for (;;) {
    const portion = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (portion.length === 0 || entries.length > MOST_FILES) return entries;
    entries.push(...portion);
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}
