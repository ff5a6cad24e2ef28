//! The server as its clients meet it: over loopback, with everything real behind it.

mod access;
mod deltas;
mod hostile;
mod limits;
mod many;
mod reading;
mod support;
mod uploading;
