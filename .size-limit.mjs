export { limits as default } from './scripts/lib/sizes.mjs';
