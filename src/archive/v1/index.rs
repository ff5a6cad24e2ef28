//! Builds the index. A v1 archive stores none, so the reader goes from entry to entry and skips the
//! data.

use std::collections::HashMap;

use super::parts::{Part, Stream, check_plausible, read_parts, table_length, u32_at, u64_at};
use super::{MAGIC, MAX_HOLES, TYPE_ALONE, TYPE_PAIRED};
use crate::archive::cursor::Cursor;
use crate::error::{Error, Result};
use crate::io::{Incremental, Wanted};
use crate::layout::{Layout, safetensors};
use crate::pace::{Pace, Paced};
use crate::steps;

/// Everything in an archive except the bytes of its streams.
#[derive(Debug)]
pub(crate) struct Index {
    /// Length of the archive in bytes.
    pub(crate) archive_length: u64,
    /// The target's header, unchanged: 8 bytes of length and the JSON.
    pub(crate) header: Vec<u8>,
    /// The target's layout.
    pub(crate) layout: Layout,
    /// One entry per region of the layout, in its order.
    pub(crate) entries: Vec<Entry>,
}

/// The streams of one tensor.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Type 0: the XOR with the base's tensor, split into two streams.
    Paired { exponent: Stream, sign_mantissa: Stream },
    /// Type 1: the tensor itself.
    Alone(Stream),
}

/// Reads an [`Index`], going from entry to entry.
#[derive(Debug)]
pub(crate) struct IndexReader {
    archive_length: u64,
    cursor: Cursor,
    state: State,
    header: Vec<u8>,
    layout: Layout,
    by_name: HashMap<String, usize>,
    entries: Vec<Option<Entry>>,
    /// Number of tensors whose entries have yet to come.
    missing: usize,
}

#[derive(Debug)]
enum State {
    Magic,
    Header {
        length: u64,
    },
    /// The target's header is being parsed.
    Parsing(Paced<Target>),
    Count,
    Name,
    Type {
        name_length: u64,
    },
    Length(Pending),
    Parts {
        pending: Pending,
        length: u64,
    },
    Done,
}

/// The target's header and layout, and the number of each region by its name.
#[derive(Debug)]
struct Target {
    header: Vec<u8>,
    layout: Layout,
    by_name: HashMap<String, usize>,
}

/// An entry whose streams have not all been read yet.
#[derive(Debug)]
struct Pending {
    region: usize,
    paired: bool,
    exponent: Option<Stream>,
}

impl IndexReader {
    pub(crate) fn new(archive_length: u64) -> Self {
        Self {
            archive_length,
            cursor: Cursor::new(archive_length),
            state: State::Magic,
            header: Vec::new(),
            layout: Layout::default(),
            by_name: HashMap::new(),
            entries: Vec::new(),
            missing: 0,
        }
    }

    /// The index, once the reader wants nothing more.
    pub(crate) fn finish(self) -> Index {
        let entries = self.entries.into_iter().flatten().collect();
        Index { archive_length: self.archive_length, header: self.header, layout: self.layout, entries }
    }

    /// Advances by one state; returns `false` if bytes have to arrive first, while the header is
    /// being parsed, or at the end.
    fn step(&mut self) -> Result<bool> {
        steps::add(1);
        match std::mem::replace(&mut self.state, State::Done) {
            State::Magic => self.magic(),
            State::Header { length } => self.target_header(length),
            State::Parsing(parsing) => self.wait(State::Parsing(parsing)),
            State::Count => self.count(),
            State::Name => self.name_length(),
            State::Type { name_length } => self.entry_type(name_length),
            State::Length(pending) => self.stream_length(pending),
            State::Parts { pending, length } => self.parts(pending, length),
            State::Done => Ok(false),
        }
    }

    fn magic(&mut self) -> Result<bool> {
        let Some(bytes) = self.cursor.peek(16)? else { return self.wait(State::Magic) };
        let length = u64_at(bytes, MAGIC.len());
        self.cursor.skip(16)?;
        if length > safetensors::MAX_HEADER + 8 {
            return Err(Error::limit("the stored header is too long")
                .figures(format_args!("at most {}", safetensors::MAX_HEADER + 8), length)
                .at(8));
        }
        self.go(State::Header { length })
    }

    fn target_header(&mut self, length: u64) -> Result<bool> {
        let Some(bytes) = self.cursor.peek(length)? else { return self.wait(State::Header { length }) };
        let parsing = Paced::new(Target::parse(bytes.to_vec()));
        self.cursor.skip(length)?;
        self.wait(State::Parsing(parsing))
    }

    /// Goes on with the target once its header is parsed.
    fn target(&mut self, Target { header, layout, by_name }: Target) -> Result<bool> {
        (self.header, self.layout, self.by_name) = (header, layout, by_name);
        self.missing = self.layout.regions.len();
        self.entries.resize_with(self.missing, || None);
        self.go(State::Count)
    }

    fn count(&mut self) -> Result<bool> {
        let Some(bytes) = self.cursor.peek(4)? else { return self.wait(State::Count) };
        let count = u32_at(bytes, 0);
        if count as usize != self.entries.len() {
            return Err(Error::corrupt("the number of stored tensors is not the header's")
                .figures(self.entries.len(), count)
                .at(self.cursor.position()));
        }
        self.cursor.skip(4)?;
        self.next_entry()
    }

    fn finish_entry(&mut self, region: usize, entry: Entry) -> Result<bool> {
        self.entries[region] = Some(entry);
        self.missing -= 1;
        self.next_entry()
    }

    fn next_entry(&mut self) -> Result<bool> {
        match (self.missing, self.cursor.remaining()) {
            (0, 0) => Ok(false),
            (0, extra) => Err(Error::corrupt("the archive goes on behind its last tensor")
                .figures(0, extra)
                .at(self.cursor.position())),
            (_, 0) => {
                let missing = self.entries.iter().zip(&self.layout.regions).find(|(entry, _)| entry.is_none());
                let error = Error::truncated("the archive ends before this tensor");
                Err(missing.map_or(error.clone(), |(_, region)| error.tensor(&region.name)))
            }
            _ => self.go(State::Name),
        }
    }

    fn name_length(&mut self) -> Result<bool> {
        let Some(bytes) = self.cursor.peek(4)? else { return self.wait(State::Name) };
        let name_length = u64::from(u32_at(bytes, 0));
        self.cursor.skip(4)?;
        self.go(State::Type { name_length })
    }

    fn entry_type(&mut self, name_length: u64) -> Result<bool> {
        let at = self.cursor.position();
        let Some(bytes) = self.cursor.peek(name_length + 1)? else { return self.wait(State::Type { name_length }) };
        let (name, kind) = bytes.split_at(name_length as usize);
        let region =
            std::str::from_utf8(name).ok().and_then(|name| self.by_name.get(name).copied()).ok_or_else(|| {
                let name = String::from_utf8_lossy(&name[..name.len().min(100)]).into_owned();
                Error::corrupt("the tensor is stored, but not in the header").tensor(&name).at(at)
            })?;
        let name = &self.layout.regions[region].name;
        if self.entries[region].is_some() {
            return Err(Error::corrupt("the tensor is stored twice").tensor(name).at(at));
        }
        let paired = match kind[0] {
            TYPE_PAIRED => true,
            TYPE_ALONE => false,
            other => return Err(Error::unsupported(format!("the entry type {other} is unknown")).tensor(name).at(at)),
        };
        let length = self.layout.regions[region].length;
        if paired && length % 2 == 1 {
            let message = "a tensor of odd length is stored in pairs: its last byte is lost";
            return Err(Error::corrupt(message).tensor(name).figures("an even length", length));
        }
        self.cursor.skip(name_length + 1)?;
        self.go(State::Length(Pending { region, paired, exponent: None }))
    }

    fn stream_length(&mut self, pending: Pending) -> Result<bool> {
        let fields = if pending.paired { 8 } else { 16 };
        let at = self.cursor.position();
        let Some(bytes) = self.cursor.peek(fields)? else { return self.wait(State::Length(pending)) };
        let length = u64_at(bytes, fields as usize - 8);
        let region = &self.layout.regions[pending.region];
        if !pending.paired && u64_at(bytes, 0) != region.length {
            let found = u64_at(bytes, 0);
            return Err(Error::corrupt("the stored length is not the tensor's")
                .tensor(&region.name)
                .figures(region.length, found)
                .at(at));
        }
        self.cursor.skip(fields)?;
        self.go(State::Parts { pending, length })
    }

    fn parts(&mut self, mut pending: Pending, length: u64) -> Result<bool> {
        let start = self.cursor.position();
        let region = &self.layout.regions[pending.region];
        let restored = if pending.paired { region.length / 2 } else { region.length };
        let named = |e: Error| e.tensor(&region.name);
        if self.cursor.remaining() < length {
            let error = Error::truncated("the archive ends inside a stream").figures(length, self.cursor.remaining());
            return Err(named(error.at(start)));
        }
        let Some(table_length) = table_length(&mut self.cursor, length).map_err(named)? else {
            return self.wait(State::Parts { pending, length });
        };
        let parts = match table_length {
            0 => vec![Part { stored: start..start + length, restored }],
            _ => {
                let Some(table) = self.cursor.peek(table_length)? else {
                    return self.wait(State::Parts { pending, length });
                };
                read_parts(table, start, length, restored).map_err(named)?
            }
        };
        check_plausible(region, &parts)?;
        let stream = Stream { stored: length, parts };
        self.cursor.skip(length)?;
        if !pending.paired {
            return self.finish_entry(pending.region, Entry::Alone(stream));
        }
        match pending.exponent.take() {
            None => self.go(State::Length(Pending { exponent: Some(stream), ..pending })),
            Some(exponent) => self.finish_entry(pending.region, Entry::Paired { exponent, sign_mantissa: stream }),
        }
    }

    fn go(&mut self, state: State) -> Result<bool> {
        self.state = state;
        Ok(true)
    }

    fn wait(&mut self, state: State) -> Result<bool> {
        self.state = state;
        Ok(false)
    }
}

impl Incremental for IndexReader {
    fn wants(&self) -> Option<Wanted> {
        self.cursor.wanted()
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.cursor.arrived(bytes);
        Ok(())
    }

    fn advance(&mut self) -> Result<bool> {
        if let State::Parsing(parsing) = &mut self.state {
            let Some(target) = parsing.advance()? else { return Ok(true) };
            self.target(target)?;
        }
        while self.step()? {}
        Ok(matches!(self.state, State::Parsing(_)))
    }
}

impl Target {
    /// Parses the target's header.
    async fn parse(header: Vec<u8>) -> Result<Self> {
        let (layout, header) = safetensors::parse(header, None).await?;
        let holes: u64 = layout.holes().iter().map(|hole| hole.end - hole.start).sum();
        if holes > MAX_HOLES {
            let message = "the header leaves more bytes between tensors than format v1 allows";
            return Err(Error::limit(message).figures(format_args!("at most {MAX_HOLES}"), holes));
        }
        let mut pace = Pace::default();
        let mut by_name = HashMap::new();
        for (i, region) in layout.regions.iter().enumerate() {
            by_name.insert(region.name.clone(), i);
            pace.turn().await;
        }
        Ok(Self { header, layout, by_name })
    }
}
