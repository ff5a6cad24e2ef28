//! The files of a base of which some may be in folders: those that serve a target, and those that
//! an archive needs.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::Path;

use anyhow::Context;
use bitx::folder::{Models, counterpart};
use bitx::layout::{Kind, Layout};
use bitx::{ErrorKind, drive};
use bitx_store::Source;

use super::files;
use crate::args::Global;
use crate::fault::Fault;
use crate::files::{Given, Input};
use crate::words;

/// The files of a base.
pub struct BaseFiles {
    files: Vec<BaseFile>,
    models: OnceCell<Models>,
}

/// A file of a base.
struct BaseFile {
    source: Source,
    length: u64,
    digest: OnceCell<[u8; 32]>,
}

/// A base file that an archive needs.
pub struct Needed<'a> {
    pub path: Option<&'a str>,
    pub length: u64,
    pub blake3: [u8; 32],
}

impl BaseFiles {
    /// Lists the files in `paths` and in the folders in `paths`. The files of the first folder have
    /// their paths inside it; those of another folder have its name before them.
    pub fn find(paths: &[&Path], global: &Global) -> anyhow::Result<Self> {
        let mut found = Vec::new();
        let mut taken = HashSet::new();
        for (i, path) in paths.iter().enumerate() {
            let name = path.canonicalize().ok().filter(|_| i > 0 && path.is_dir());
            let name = name.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
            for mut source in files(&[path], global)? {
                if let Some(name) = &name {
                    source.path = format!("{name}/{}", source.path);
                }
                let message = || format!("two files of the base have the path {:?}", source.path);
                anyhow::ensure!(taken.insert(source.path.clone()), Fault::new(ErrorKind::InvalidArgument, message()));
                let meta = std::fs::metadata(&source.file).with_context(|| source.file.display().to_string())?;
                found.push(BaseFile { source, length: meta.len(), digest: OnceCell::new() });
            }
        }
        Ok(Self { files: found, models: OnceCell::new() })
    }

    /// The path of a file in the base.
    pub fn path(&self, number: usize) -> &str {
        &self.files[number].source.path
    }

    /// Opens the files with these numbers.
    pub fn open(&self, numbers: &[usize], open: fn(&Path) -> anyhow::Result<Input>) -> anyhow::Result<Vec<Input>> {
        numbers.iter().map(|&number| open(&self.files[number].source.file)).collect()
    }

    /// The numbers of the files that a target at `path` with this layout is compressed against, the
    /// one at the same path first.
    ///
    /// A target with tensors is compressed against the files that have them ([`Models::serving`]),
    /// any other one against its [`counterpart`].
    pub fn serving(&self, path: &str, layout: &Layout) -> anyhow::Result<Vec<usize>> {
        let paths: Vec<&str> = (0..self.files.len()).map(|number| self.path(number)).collect();
        let same = counterpart(&paths, path);
        if layout.kind == Kind::Bytes {
            return Ok(same.into_iter().collect());
        }
        Ok(self.models()?.serving(layout, same))
    }

    /// The numbers of the files that an archive needs, in its order: files of the same length and,
    /// where there are several, of the same digest. If one is missing, the base may have been
    /// sharded in another way since, and all files with tensors serve.
    pub fn needed(&self, needed: &[Needed<'_>]) -> anyhow::Result<Vec<usize>> {
        let mut numbers = Vec::new();
        for file in needed {
            match self.find_needed(file, &numbers)? {
                Some(number) => numbers.push(number),
                None => return Ok(self.models()?.numbers().to_vec()),
            }
        }
        Ok(numbers)
    }

    fn find_needed(&self, needed: &Needed<'_>, taken: &[usize]) -> anyhow::Result<Option<usize>> {
        let same = |&i: &usize| self.files[i].length == needed.length && !taken.contains(&i);
        let mut alike: Vec<usize> = (0..self.files.len()).filter(same).collect();
        if let [only] = alike[..] {
            return Ok(Some(only));
        }
        // The file of the same path is the likeliest, and reading files takes time.
        alike.sort_by_key(|&i| needed.path != Some(self.path(i)));
        for i in alike {
            if self.digest(i)? == needed.blake3 {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    fn digest(&self, number: usize) -> anyhow::Result<[u8; 32]> {
        let file = &self.files[number];
        if let Some(known) = file.digest.get() {
            return Ok(*known);
        }
        let input = Input::open(&file.source.file)?;
        let found = bitx_host::digest(&input.file).with_context(|| words::input(&input.path))?;
        Ok(*file.digest.get_or_init(|| found))
    }

    /// The files that have tensors. Their layouts are read once.
    fn models(&self) -> anyhow::Result<&Models> {
        if let Some(models) = self.models.get() {
            return Ok(models);
        }
        let layouts = self.files.iter().map(|file| layout(&Input::open(&file.source.file)?));
        let layouts: Vec<Layout> = layouts.collect::<anyhow::Result<_>>()?;
        Ok(self.models.get_or_init(|| Models::new(layouts)))
    }
}

/// The layout of an open file.
pub fn layout(input: &Input) -> anyhow::Result<Layout> {
    let given = Given { target: Some(input), ..Given::default() };
    drive::layout(&input.file).map_err(|error| given.explain(error))
}

impl Needed<'_> {
    /// The description of the file in messages.
    pub fn text(&self) -> String {
        let name = self.path.map_or_else(String::new, |path| format!("{} ", words::name(path)));
        format!("{name}of {} bytes with BLAKE3 {}", self.length, blake3::Hash::from_bytes(self.blake3))
    }
}
