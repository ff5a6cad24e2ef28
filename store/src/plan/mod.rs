//! Ingest in two passes. A survey reads models, wherever they lie; a plan orders a whole family at
//! once, from surveys and the store; then any engine writes the models of a wave in parallel.
//!
//! A plan holds hints only. A writer takes from it the order and likely bases, and measures each
//! delta itself, so that a plan that is old or forged costs space and nothing else.

mod families;
mod lines;
mod planned;
mod sample;
mod similar;
mod survey;
mod waves;

pub use planned::Planned;
pub use survey::{Survey, SurveyedFile};
