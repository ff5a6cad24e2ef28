//! An interpreter of pickles that builds values and runs nothing.
//!
//! It knows the opcodes that `torch.save` and TorchScript write, and their siblings in other
//! protocols. A call becomes a value that names the function and its arguments. At an opcode that
//! it does not know, or at a limit, it stops: what it has built until then remains.
//!
//! Format: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

/// Maximum number of opcodes.
const MAX_STEPS: usize = 1 << 21;

/// Maximum number of values on the stack.
const MAX_STACK: usize = 1 << 18;

/// Maximum number of composed values, and of values to remember, besides a share of the pickle's
/// length: a pickle of some KB takes little memory, and a long one some tens of megabytes.
const MAX_NODES: usize = 1 << 20;
const FREE_NODES: usize = 1 << 12;
const BYTES_PER_NODE: usize = 4;

/// A value of a pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A value that no tensor depends on: `None`, a float, bytes.
    Other,
    /// An empty tuple.
    Unit,
    Int(i64),
    Text(Text),
    /// A class or function, by its name without the module's.
    Global(Text),
    /// Index of a composed value.
    Node(usize),
}

/// Offset and length of a text in the pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    start: u32,
    length: u32,
}

/// The kinds of composed values, and the order of their items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A list or tuple: its items.
    List,
    /// Keys and values in turn.
    Dict,
    /// A call: the function and its arguments, then keys and values that were set on the result.
    /// A state that was set as a whole has no key.
    Call,
    /// An object that is stored elsewhere: its description.
    Persistent,
}

/// A composed value.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) items: Vec<Value>,
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    pub(super) nodes: Vec<Node>,
    /// The result, or the parts of it that were built before the interpreter stopped.
    pub(super) roots: Vec<Value>,
    pub(super) end: End,
}

/// The reason why the interpreter stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The pickle ended; it has so many bytes.
    Whole(usize),
    /// The bytes ended within the pickle.
    Short,
    /// An opcode is not known or cannot be where it is, or a limit was reached.
    Unknown,
}

impl<'a> Pickle<'a> {
    /// Interprets `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let mut machine = Machine::new(bytes);
        let mut steps = 0;
        while steps < MAX_STEPS && machine.step().is_some() {
            steps += 1;
        }
        Self { bytes, nodes: machine.nodes, roots: machine.stack, end: machine.end }
    }

    pub(super) fn text(&self, text: Text) -> Option<&'a str> {
        let start = text.start as usize;
        std::str::from_utf8(self.bytes.get(start..start + text.length as usize)?).ok()
    }

    /// The items of a list or tuple.
    pub(super) fn items(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Unit => Some(&[]),
            Value::Node(node) if self.nodes[node].kind == Kind::List => Some(&self.nodes[node].items),
            _ => None,
        }
    }
}

/// The state of the interpreter. Its methods return `None` to stop.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    most: usize,
    nodes: Vec<Node>,
    stack: Vec<Value>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: Vec<Value>,
    end: End,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let most = (FREE_NODES + bytes.len() / BYTES_PER_NODE).min(MAX_NODES);
        let [stack, memo] = [Vec::new(), Vec::new()];
        Self { bytes, at: 0, most, nodes: Vec::new(), stack, marks: Vec::new(), memo, end: End::Unknown }
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        match taken {
            Some(taken) => self.at += taken.len(),
            None => self.end = End::Short,
        }
        taken
    }

    /// Takes a little-endian number of `width` bytes.
    fn number(&mut self, width: u64) -> Option<u64> {
        Some(self.take(width)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Takes a length of `width` bytes and so many bytes of text.
    fn text(&mut self, width: u64) -> Option<Text> {
        let length = self.number(width)?;
        let start = self.at.try_into().ok()?;
        self.take(length)?;
        Some(Text { start, length: length.try_into().ok()? })
    }

    /// Takes a text that ends with a line feed.
    fn line(&mut self) -> Option<Text> {
        let rest = self.bytes.get(self.at..)?;
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            self.end = End::Short;
            return None;
        };
        let text = Text { start: self.at.try_into().ok()?, length: length.try_into().ok()? };
        self.at += length + 1;
        Some(text)
    }

    fn push(&mut self, value: Value) -> Option<()> {
        (self.stack.len() < MAX_STACK).then(|| self.stack.push(value))
    }

    /// Pops a value above the last mark.
    fn pop(&mut self) -> Option<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        (self.stack.len() > floor).then(|| self.stack.pop())?
    }

    /// Pops the last mark and the values above it.
    fn pop_to_mark(&mut self) -> Option<Vec<Value>> {
        let mark = self.marks.pop()?;
        Some(self.stack.split_off(mark))
    }

    fn push_node(&mut self, kind: Kind, items: Vec<Value>) -> Option<()> {
        if self.nodes.len() >= self.most {
            return None;
        }
        self.nodes.push(Node { kind, items });
        self.push(Value::Node(self.nodes.len() - 1))
    }

    /// Makes a tuple of the `count` topmost values.
    fn tuple(&mut self, count: usize) -> Option<()> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push_node(Kind::List, items)
    }

    /// Pops arguments and a function, and makes a call of them.
    fn call(&mut self) -> Option<()> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        self.push_node(Kind::Call, vec![function, arguments])
    }

    /// Adds items to the list on top of the stack, or pairs to the dictionary or object there.
    fn add(&mut self, items: Vec<Value>, are_pairs: bool) -> Option<()> {
        let Some(&Value::Node(node)) = self.stack.last() else { return Some(()) };
        let node = &mut self.nodes[node];
        match (node.kind, are_pairs) {
            (Kind::List, false) | (Kind::Dict | Kind::Call, true)
                if items.len().is_multiple_of(1 + usize::from(are_pairs)) =>
            {
                node.items.extend(items)
            }
            (Kind::Call, false) => node.items.extend(items.into_iter().flat_map(|item| [Value::Other, item])),
            _ => {}
        }
        Some(())
    }

    fn remember(&mut self, key: u64) -> Option<()> {
        let key = usize::try_from(key).ok().filter(|&key| key < self.most)?;
        if key >= self.memo.len() {
            self.memo.resize(key + 1, Value::Other);
        }
        self.memo[key] = *self.stack.last()?;
        Some(())
    }

    fn recall(&mut self, key: u64) -> Option<()> {
        let value = *self.memo.get(usize::try_from(key).ok()?)?;
        self.push(value)
    }
}

impl Machine<'_> {
    /// Interprets one opcode.
    fn step(&mut self) -> Option<()> {
        let opcode = self.take(1)?[0];
        match opcode {
            // Literals.
            b'N' | 0x88 | 0x89 => self.push(Value::Other),
            b'J' => self.number(4).and_then(|number| self.push(Value::Int(number as i32 as i64))),
            b'K' => self.number(1).and_then(|number| self.push(Value::Int(number as i64))),
            b'M' => self.number(2).and_then(|number| self.push(Value::Int(number as i64))),
            0x8A => self.long(),
            b'G' => self.skip(8),
            b'X' | b'T' => self.push_text(4),
            0x8C | b'U' => self.push_text(1),
            0x8D => self.push_text(8),
            b'B' | 0x8B => self.skip_prefixed(4),
            b'C' => self.skip_prefixed(1),
            0x8E | 0x96 => self.skip_prefixed(8),
            b'I' | b'L' | b'F' | b'S' | b'V' => self.line().and_then(|_| self.push(Value::Other)),
            _ => self.compose(opcode),
        }
    }

    fn compose(&mut self, opcode: u8) -> Option<()> {
        match opcode {
            b')' => self.push(Value::Unit),
            b']' | 0x8F => self.push_node(Kind::List, Vec::new()),
            b'}' => self.push_node(Kind::Dict, Vec::new()),
            b't' | b'l' | 0x91 => self.pop_to_mark().and_then(|items| self.push_node(Kind::List, items)),
            b'd' => self.pop_to_mark().and_then(|items| self.push_node(Kind::Dict, items)),
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84)),
            b'a' => self.pop().and_then(|item| self.add(vec![item], false)),
            b'e' | 0x90 => self.pop_to_mark().and_then(|items| self.add(items, false)),
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.add(vec![key, value], true)
            }
            b'u' => self.pop_to_mark().and_then(|items| self.add(items, true)),
            b'b' => self.pop().and_then(|state| self.add(vec![Value::Other, state], true)),
            b'R' | 0x81 => self.call(),
            0x92 => self.pop().and_then(|_| self.call()),
            b'Q' => self.pop().and_then(|value| self.push_node(Kind::Persistent, vec![value])),
            _ => self.manage(opcode),
        }
    }

    fn manage(&mut self, opcode: u8) -> Option<()> {
        match opcode {
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => (self.marks.len() < MAX_STACK).then(|| self.marks.push(self.stack.len())),
            b'0' => self.pop().map(drop),
            b'1' => self.pop_to_mark().map(drop),
            b'2' => self.stack.last().copied().and_then(|value| self.push(value)),
            b'c' => {
                self.line()?;
                let name = self.line()?;
                self.push(Value::Global(name))
            }
            0x93 => {
                let name = self.pop()?;
                self.pop()?;
                self.push(if let Value::Text(name) = name { Value::Global(name) } else { Value::Other })
            }
            b'q' => self.number(1).and_then(|key| self.remember(key)),
            b'r' => self.number(4).and_then(|key| self.remember(key)),
            0x94 => self.remember(self.memo.len() as u64),
            b'h' => self.number(1).and_then(|key| self.recall(key)),
            b'j' => self.number(4).and_then(|key| self.recall(key)),
            b'.' => {
                self.end = End::Whole(self.at);
                None
            }
            _ => None,
        }
    }

    fn push_text(&mut self, width: u64) -> Option<()> {
        let text = self.text(width)?;
        self.push(Value::Text(text))
    }

    fn skip(&mut self, length: u64) -> Option<()> {
        self.take(length)?;
        self.push(Value::Other)
    }

    fn skip_prefixed(&mut self, width: u64) -> Option<()> {
        let length = self.number(width)?;
        self.skip(length)
    }

    /// Reads an integer of so many bytes as the first one says.
    fn long(&mut self) -> Option<()> {
        let length = self.number(1)?;
        if length > 8 {
            return self.skip(length);
        }
        let unused = 64 - 8 * length as u32;
        let number = self.number(length)?.checked_shl(unused).unwrap_or(0) as i64;
        self.push(Value::Int(number.checked_shr(unused).unwrap_or(0)))
    }
}
