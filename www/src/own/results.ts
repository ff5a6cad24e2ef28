/** The folder of the origin private file system that holds a folder of results for each tab. */
const FOLDER = 'bitx-results';
/** The name of this tab's folder, and of the lock that it holds while it is open. */
const OWN = `bitx-tab-${Math.random().toString(36).slice(2)}`;

let held = false;

/** Returns the folder for this tab's large results; undefined if this browser has no such place. */
export async function openResults(): Promise<FileSystemDirectoryHandle | undefined> {
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  const folder = await root?.getDirectoryHandle(FOLDER, { create: true });
  if (!folder) return undefined;
  hold();
  await removeClosed(folder);
  return folder.getDirectoryHandle(OWN, { create: true });
}

/** Removes the results of this tab's earlier tasks. Their links are gone. */
export async function clearResults(): Promise<void> {
  if (!held) return;
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(FOLDER).catch(() => undefined);
  await folder?.removeEntry(OWN, { recursive: true }).catch(() => {});
}

/** Holds this tab's lock until it is closed. */
function hold(): void {
  if (held || !navigator.locks) return;
  held = true;
  void navigator.locks.request(OWN, () => new Promise(() => {}));
}

/** Removes the folders of tabs that were closed, which hold no lock any more. */
async function removeClosed(folder: FileSystemDirectoryHandle): Promise<void> {
  const { held: locks = [] } = (await navigator.locks?.query()) ?? {};
  const open = new Set([OWN, ...locks.map(({ name }) => name)]);
  const names: string[] = [];
  for await (const name of folder.keys()) names.push(name);
  for (const name of names) {
    if (!open.has(name)) await folder.removeEntry(name, { recursive: true }).catch(() => {});
  }
}
