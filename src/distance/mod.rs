//! How far two tensors of one dtype and length are apart, and what a delta between them would take.
//!
//! [`BitDistance`] is exact: both tensors are read. A [`Sketch`] is a few words of a tensor, 64 bytes of them per MiB:
//! those of two tensors are comparable word by word, which makes an index of models out of what is small enough to
//! keep of each tensor. [`predict`] tells from two sketches whether a delta will pay.
//!
//! Like all of the core, nothing here reads: tensors are handed over in stretches of any size.
//!
//! ```
//! use bitx::distance::{BitDistance, Sketch, predict};
//! use bitx::layout::Dtype;
//!
//! let weights = |moved: f32| -> Vec<u8> {
//!     (0..4096).flat_map(|i| ((i as f32 * 0.37).sin() + moved * (i as f32).cos()).to_le_bytes()).collect()
//! };
//! let (base, fine_tune) = (weights(0.0), weights(1e-5));
//! let mut exact = BitDistance::default();
//! exact.update(Dtype::F32, &base, &fine_tune)?;
//! assert!(exact.per_word() < 10.0);
//!
//! let (base, fine_tune) = (Sketch::of(Dtype::F32, &base), Sketch::of(Dtype::F32, &fine_tune));
//! assert!(predict(&base, &fine_tune)?.delta_pays());
//! # Ok::<(), bitx::Error>(())
//! ```

mod bits;
mod predict;
mod sample;
mod sketch;

pub use bits::BitDistance;
pub use predict::{Predicted, predict};
pub use sketch::{Sketch, Sketcher};
