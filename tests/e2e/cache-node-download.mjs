/** A program that downloads a model into a folder: `node cache-node-download.mjs DIRECTORY URL`. */
import { ModelCache } from '../../js/dist/node-files.js';
import { QUICK } from './cache-support.mjs';

const [directory, url] = process.argv.slice(2);
const { workerUrl, ...options } = QUICK;
const cache = await ModelCache.open({ ...options, directory });
const { model } = await cache.fetch(url);
console.log(model.sha256);
cache.close();
