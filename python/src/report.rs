//! The content of an archive as a dictionary of Python.

use bitx::folder::File;
use bitx::report::{BaseReport, Report, TensorReport};
use bitx_cli::Folder;
use pyo3::prelude::*;

/// The content of an archive: the fields of `bitx.Report`.
#[derive(IntoPyObject)]
pub struct Content {
    version: u32,
    stored_bytes: u64,
    restored_bytes: u64,
    blake3: Option<String>,
    bases: Vec<Base>,
    tensors: Vec<Tensor>,
}

#[derive(IntoPyObject)]
struct Base {
    length: u64,
    blake3: String,
}

#[derive(IntoPyObject)]
struct Tensor {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    method: &'static str,
    rank: Option<u8>,
    stored_bytes: u64,
    restored_bytes: u64,
}

/// A digest in hexadecimal digits.
pub fn hex(digest: [u8; 32]) -> String {
    blake3::Hash::from_bytes(digest).to_string()
}

impl From<Report> for Content {
    fn from(report: Report) -> Self {
        Self {
            version: report.version,
            stored_bytes: report.stored_bytes,
            restored_bytes: report.restored_bytes,
            blake3: report.blake3.map(hex),
            bases: report.bases.into_iter().map(Base::from).collect(),
            tensors: report.tensors.into_iter().map(Tensor::from).collect(),
        }
    }
}

impl From<BaseReport> for Base {
    fn from(base: BaseReport) -> Self {
        Self { length: base.length, blake3: hex(base.blake3) }
    }
}

impl From<TensorReport> for Tensor {
    fn from(tensor: TensorReport) -> Self {
        Self {
            name: tensor.name,
            dtype: tensor.dtype.name(),
            shape: tensor.shape,
            method: tensor.method.name(),
            rank: tensor.prediction.map(|prediction| prediction.rank),
            stored_bytes: tensor.stored_bytes,
            restored_bytes: tensor.restored_bytes,
        }
    }
}

/// The content of a folder of archives: the fields of `bitx.FolderReport`.
#[derive(IntoPyObject)]
pub struct FolderContent {
    stored_bytes: u64,
    restored_bytes: u64,
    bases: Vec<BaseFile>,
    files: Vec<(String, Content)>,
}

#[derive(IntoPyObject)]
struct BaseFile {
    path: String,
    length: u64,
    blake3: String,
}

impl From<Folder> for FolderContent {
    fn from(Folder { manifest, reports }: Folder) -> Self {
        let base = |file: &File| BaseFile { path: file.path.clone(), length: file.bytes, blake3: hex(file.blake3) };
        Self {
            stored_bytes: manifest.stored_bytes(),
            restored_bytes: manifest.restored_bytes(),
            bases: manifest.base.iter().map(base).collect(),
            files: manifest
                .files
                .into_iter()
                .map(|entry| entry.file.path)
                .zip(reports.into_iter().map(Content::from))
                .collect(),
        }
    }
}
