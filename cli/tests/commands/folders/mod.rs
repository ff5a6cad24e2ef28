//! Tests of model folders.

mod damage;
mod models;
mod whole;
