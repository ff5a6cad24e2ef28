/** What the package takes from a page and a service worker has elsewhere. The build puts it in the global's place. */
export const document = { baseURI: self.location.href };
