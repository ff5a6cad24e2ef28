//! Zip archives, and the pickles in PyTorch's, as far as tests need them.

/// The magic number at the start of PyTorch's files before it used zip archives.
pub const STREAM: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Numbers of the compression methods.
pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;

/// An archive that is being written.
#[derive(Default)]
pub struct Zip {
    pub bytes: Vec<u8>,
    pub directory: Vec<u8>,
    entries: u64,
}

impl Zip {
    /// Adds a member whose data begins at a multiple of 64, as PyTorch aligns it.
    pub fn add(mut self, path: &str, data: &[u8]) -> Self {
        let header = self.bytes.len() + 30 + path.len() + 4;
        let padding = header.next_multiple_of(64) - header;
        let extra = [b"FB", &(padding as u16).to_le_bytes()[..], &vec![b'Z'; padding]].concat();
        self.push(path, STORED, &extra, data);
        self
    }

    /// Adds a member of that method.
    pub fn add_as(mut self, path: &str, method: u16, data: &[u8]) -> Self {
        self.push(path, method, &[], data);
        self
    }

    fn push(&mut self, path: &str, method: u16, extra: &[u8], data: &[u8]) {
        let (offset, length) = (self.bytes.len() as u32, data.len() as u32);
        self.bytes.extend(b"PK\x03\x04\x14\0\x08\x08");
        self.bytes.extend(method.to_le_bytes());
        // The time, and lengths that only the descriptor behind the data has.
        self.bytes.extend([0; 16]);
        self.bytes.extend((path.len() as u16).to_le_bytes());
        self.bytes.extend((extra.len() as u16).to_le_bytes());
        self.bytes.extend([path.as_bytes(), extra, data, b"PK\x07\x08\0\0\0\0"].concat());
        self.bytes.extend([length.to_le_bytes(), length.to_le_bytes()].concat());
        self.entry(path, method, [length, length, offset], &[]);
    }

    /// Adds an entry to the central directory: the stored length, the length, and the offset.
    pub fn entry(&mut self, path: &str, method: u16, sizes: [u32; 3], extra: &[u8]) {
        let [stored, length, offset] = sizes.map(u32::to_le_bytes);
        let lengths = [path.len() as u16, extra.len() as u16, 3].map(u16::to_le_bytes).concat();
        let head = [b"PK\x01\x02\x14\0\x14\0\x08\x08", &method.to_le_bytes()[..], &[0; 8], &stored, &length].concat();
        self.directory.extend([&head[..], &lengths, &[0; 8], &offset, path.as_bytes(), extra, b"abc"].concat());
        self.entries += 1;
    }

    /// The archive with a comment.
    pub fn finish(self, comment: &[u8]) -> Vec<u8> {
        let (count, length, offset) = (self.entries as u16, self.directory.len() as u32, self.bytes.len() as u32);
        let counts = [0, 0, count, count].map(u16::to_le_bytes).concat();
        let places = [length, offset].map(u32::to_le_bytes).concat();
        let comment = [&(comment.len() as u16).to_le_bytes()[..], comment].concat();
        [self.bytes, self.directory, b"PK\x05\x06".to_vec(), counts, places, comment].concat()
    }

    /// The archive with the end record of Zip64, which alone has the place of the directory.
    pub fn finish_64(self) -> Vec<u8> {
        let (length, offset) = (self.directory.len() as u64, self.bytes.len() as u64);
        let numbers = [44, 0x2d_002d, 0, self.entries, self.entries, length, offset];
        let mut end = b"PK\x06\x06".to_vec();
        end.extend(44u64.to_le_bytes());
        end.extend([0x2d, 0, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        end.extend(numbers[3..].iter().flat_map(|number| number.to_le_bytes()));
        end.extend([b"PK\x06\x07\0\0\0\0", &(length + offset).to_le_bytes()[..], &[1, 0, 0, 0]].concat());
        end.extend([&b"PK\x05\x06"[..], &[0xFF; 16], &[0, 0]].concat());
        [self.bytes, self.directory, end].concat()
    }
}

/// A text of a pickle.
pub fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A class or function of a pickle.
pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

fn int(number: u64) -> Vec<u8> {
    [b"J", &(number as u32).to_le_bytes()[..]].concat()
}

/// A storage of a pickle.
pub fn storage(class: &str, key: &str, elements: u64) -> Vec<u8> {
    let description = [text("storage"), global("torch", class), text(key), text("cpu"), int(elements)];
    [&tuple(&description)[..], b"Q"].concat()
}

/// A tensor of a pickle: a view of a storage, and the last arguments of the call that makes it.
pub fn view(storage: &[u8], offset: u64, shape: &[u64], strides: &[u64], last: &[u8]) -> Vec<u8> {
    let numbers = |numbers: &[u64]| tuple(&numbers.iter().map(|&number| int(number)).collect::<Vec<_>>());
    let hooks = [&global("collections", "OrderedDict")[..], b")R"].concat();
    let arguments =
        [storage.to_vec(), int(offset), numbers(shape), numbers(strides), b"\x89".to_vec(), hooks, last.to_vec()];
    [&global("torch._utils", "_rebuild_tensor_v2")[..], &tuple(&arguments), b"R"].concat()
}

/// A whole tensor in rows.
pub fn tensor(class: &str, key: &str, shape: &[u64]) -> Vec<u8> {
    let strides: Vec<u64> = (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
    view(&storage(class, key, shape.iter().product()), 0, shape, &strides, &[])
}

/// A dictionary of a pickle, with texts as keys.
pub fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<u8> = pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &pairs[..], b"u"].concat()
}

/// A whole pickle.
pub fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}
