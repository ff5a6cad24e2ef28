//! Distances between two tensors of the same dtype and length, and the predicted size of a delta.
//!
//! [`BitDistance`] is exact and takes all bytes of both tensors. A [`Sketch`] holds a few words of
//! a tensor, about 64 bytes per MiB. The sketches of two tensors are compared word by word, so an
//! index of models can keep a sketch of every tensor instead of the tensor. [`predict()`] tells
//! from two sketches if a delta pays.
//!
//! Like the rest of the core, this module reads no files: the caller hands over tensors in
//! stretches of any size.
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
mod weights;

pub use bits::BitDistance;
pub use predict::{Predicted, predict};
pub use sketch::{Sketch, Sketcher};
pub use weights::weights;
