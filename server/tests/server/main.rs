//! Tests of the server through HTTP requests on a loopback address, with a real store behind it.

mod access;
mod attackers;
mod continued;
mod deltas;
mod fairness;
mod hostile;
mod limits;
mod many;
mod read_only;
mod reading;
mod support;
mod uploading;
