//! A store of AI models, which holds equal files and tensors once and fine-tunes as lossless deltas
//! against their base.
//!
//! A store is a folder or a bucket, without a database. Its objects are named by the BLAKE3 digest
//! of their content, and any number of processes may read and write it at the same time.
//! `docs/STORE.md` describes the layout.

mod ahead;
mod archives;
mod backend;
mod codec;
mod digest;
mod error;
mod families;
mod gc;
mod ingest;
mod kept;
mod keys;
mod manifest;
mod part;
mod plan;
mod process;
mod read;
mod registers;
mod relations;
mod repair;
mod root;
mod run;
mod sealed;
mod stats;
mod stop;
mod store;
mod uploads;
mod verify;

pub use archives::KeptArchive;
pub use backend::Backend;
pub use digest::Digest;
pub use error::{Error, Result};
pub use families::{Family, Member, Relation, families_svg};
pub use gc::{Collected, GcOptions};
pub use ingest::{Added, Addition, Indexed, Source, Stored};
pub use keys::ObjectId;
pub use manifest::{FileEntry, FileManifest, Item, Model, ModelName, PieceRef, check_path};
pub use part::Part;
pub use plan::{Planned, Survey, SurveyedFile};
pub use relations::{Announced, Related, Relations};
pub use repair::{Copies, Mended, Repaired};
pub use stats::Stats;
pub use stop::until;
pub use store::{Listing, Store};
pub use uploads::{Answer, Form, OpenUpload, Received, Transfer, Upload, UploadFile, Uploads};
pub use verify::{Problem, Verified, VerifyDepth};
