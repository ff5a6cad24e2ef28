/** Beginnings of files that are no models, and their names. */
const KINDS: [name: string, ...beginning: (number | string)[]][] = [
  ['a PNG image', 0x89, 'PNG'],
  ['a JPEG image', 0xff, 0xd8, 0xff],
  ['a GIF image', 'GIF8'],
  ['a PDF document', '%PDF'],
  ['a gzip archive', 0x1f, 0x8b],
  ['an xz archive', 0xfd, '7zXZ'],
  ['a 7-Zip archive', "7z\xbc\xaf'"],
  ['a RAR archive', 'Rar!'],
  ['a zstd file', 0x28, 0xb5, 0x2f, 0xfd],
  ['a program', 0x7f, 'ELF'],
  ['a program', 'MZ'],
  ['an HDF5 file', 0x89, 'HDF'],
  ['a pointer of Git LFS, not the file itself', 'version https://git-lfs'],
  ['an archive of bitx', 'BITXv'],
];

/** A file that begins so, after white space, is a page of the web. */
const WEB_PAGE = /^\s*<(!doctype|html|head|\?xml)/i;

/**
 * Returns the kind of a file that is no model by its first bytes, such as `a PNG image`; undefined
 * if it may be a model.
 */
export function kindOf(start: Uint8Array): string | undefined {
  const text = String.fromCharCode(...start.subarray(0, 64));
  const found = KINDS.find(([, ...beginning]) => text.startsWith(beginning.map(character).join('')));
  if (found) return found[0];
  if (text.startsWith('RIFF')) return text.slice(8, 12) === 'WEBP' ? 'a WebP image' : 'a media file';
  if (text.slice(4, 8) === 'ftyp') return 'a video';
  if (WEB_PAGE.test(text)) return 'a web page';
  return /^\s*\{\s*"/.test(text) ? 'a JSON file' : undefined;
}

function character(part: number | string): string {
  return typeof part === 'number' ? String.fromCharCode(part) : part;
}
