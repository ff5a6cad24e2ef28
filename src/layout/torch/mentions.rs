//! The search for storages among the values of a pickle.

use super::pickle::{Kind, Pickle, Text, Value};
use crate::layout::{Dtype, MAX_RANK};

/// Maximum depth of the values that are searched for tensors.
const MAX_DEPTH: u32 = 100;

/// Maximum length of a path in bytes; parts that do not fit are left out.
const LONGEST_PATH: usize = 512;

/// A mention of a storage in a pickle.
#[derive(Debug)]
pub(super) struct Mention<'a> {
    /// The storage's key, the name of its member in a folder of storages.
    pub(super) key: &'a str,
    /// Length of the storage in bytes; `None` if its class is not known.
    pub(super) length: Option<u64>,
    /// `None` if it is not known.
    pub(super) dtype: Option<Dtype>,
    /// Extents of the tensor in the order of the elements, the outermost first, if it is dense and
    /// begins where the storage begins.
    pub(super) shape: Option<Vec<u64>>,
    /// The keys that lead to the tensor, joined by dots.
    pub(super) path: &'a str,
}

/// Calls `visit` for every mention of a storage in a pickle, in the order of the pickle. `prefix`
/// precedes all paths.
pub(super) fn mentions(pickle: &Pickle<'_>, prefix: &str, visit: impl FnMut(Mention<'_>)) {
    let seen = vec![false; pickle.nodes.len()];
    let mut search = Search { pickle, seen, path: prefix.to_owned(), visit };
    pickle.roots.iter().for_each(|&root| search.value(root, 0));
}

struct Search<'a, F> {
    pickle: &'a Pickle<'a>,
    seen: Vec<bool>,
    path: String,
    visit: F,
}

impl<F: FnMut(Mention<'_>)> Search<'_, F> {
    fn value(&mut self, value: Value, depth: u32) {
        let Value::Node(node) = value else { return };
        if depth > MAX_DEPTH || std::mem::replace(&mut self.seen[node], true) {
            return;
        }
        let pickle = self.pickle;
        let items = &pickle.nodes[node].items;
        match pickle.nodes[node].kind {
            Kind::List => self.list(items, depth),
            Kind::Dict => self.pairs(items, depth),
            Kind::Call => {
                let (call, pairs) = items.split_at(items.len().min(2));
                self.call(call, depth);
                self.pairs(pairs, depth);
            }
            Kind::Persistent => self.mention(value, &[]),
        }
    }

    fn list(&mut self, items: &[Value], depth: u32) {
        let pickle = self.pickle;
        for (i, &item) in items.iter().enumerate().filter(|(_, item)| matches!(item, Value::Node(_))) {
            match pickle.items(item) {
                // A key and a value, of which Python 2 makes a dictionary with an order.
                Some(pair @ [Value::Text(_), Value::Node(_)]) => self.pairs(pair, depth),
                _ => self.below(&i.to_string(), item, depth),
            }
        }
    }

    fn pairs(&mut self, items: &[Value], depth: u32) {
        for pair in items.chunks_exact(2).filter(|pair| matches!(pair[1], Value::Node(_))) {
            let pickle = self.pickle;
            match pair[0] {
                Value::Text(key) => self.below(pickle.text(key).unwrap_or_default(), pair[1], depth),
                Value::Int(key) => self.below(&key.to_string(), pair[1], depth),
                _ => self.value(pair[1], depth + 1),
            }
        }
    }

    /// Searches the arguments of a call. Those of PyTorch's functions that make a tensor begin with
    /// its storage; those that make a parameter begin with the tensor.
    fn call(&mut self, call: &[Value], depth: u32) {
        let Some((&first, others)) =
            call.get(1).and_then(|&arguments| self.pickle.items(arguments)).and_then(<[Value]>::split_first)
        else {
            return;
        };
        if self.is_storage(first) {
            self.mention(first, others);
            return;
        }
        self.value(first, depth + 1);
        self.list(others, depth);
    }

    /// Searches a value that is called `name`.
    fn below(&mut self, name: &str, value: Value, depth: u32) {
        let length = self.path.len();
        if length + name.len() < LONGEST_PATH {
            self.path.push_str(if length == 0 { "" } else { "." });
            self.path.push_str(name);
        }
        self.value(value, depth + 1);
        self.path.truncate(length);
    }

    fn is_storage(&self, value: Value) -> bool {
        matches!(value, Value::Node(node) if self.pickle.nodes[node].kind == Kind::Persistent)
    }

    /// Visits a storage, with the arguments behind it of the call that makes a tensor: its offset,
    /// its extents, its strides, and further ones.
    fn mention(&mut self, storage: Value, tensor: &[Value]) {
        let pickle = self.pickle;
        let Value::Node(node) = storage else { return };
        let description = pickle.nodes[node].items.first().and_then(|&value| pickle.items(value));
        let Some(&[_, Value::Global(class), Value::Text(key), ref rest @ ..]) = description else { return };
        let Some(key) = pickle.text(key) else { return };
        let named = |text: Text| pickle.text(text).and_then(dtype);
        let class = named(class);
        let length = class.and_then(|(dtype, parts)| {
            let Some(&Value::Int(elements)) = rest.get(1) else { return None };
            u64::try_from(elements).ok()?.checked_mul(parts * dtype.block().1)
        });
        // A storage without a type; the dtype is one of the arguments.
        let of_tensor =
            || tensor.iter().find_map(|&value| if let Value::Global(name) = value { named(name) } else { None });
        let (dtype, parts) = class.or_else(of_tensor).unzip();
        let mut shape = dense(pickle, tensor);
        if let (Some(shape), Some(2)) = (&mut shape, parts) {
            shape.push(2);
        }
        (self.visit)(Mention { key, length, dtype, shape, path: &self.path });
    }
}

/// The extents of a tensor in the order of its elements, from the arguments that describe it.
fn dense(pickle: &Pickle<'_>, tensor: &[Value]) -> Option<Vec<u64>> {
    let &[Value::Int(0), extents, strides, ..] = tensor else { return None };
    let (extents, strides) = (numbers(pickle, extents)?, numbers(pickle, strides)?);
    if extents.len() != strides.len() {
        return None;
    }
    let mut axes: Vec<(u64, u64)> = strides.into_iter().zip(extents).collect();
    // An axis of one element may have any stride. It stays behind the axis before it.
    let mut before = u64::MAX;
    for (stride, extent) in &mut axes {
        *stride = if *extent == 1 { before } else { *stride };
        before = *stride;
    }
    axes.sort_by_cached_key(|&(stride, _)| std::cmp::Reverse(stride));
    let mut elements = 1u64;
    for &(stride, extent) in axes.iter().rev().filter(|(_, extent)| *extent != 1) {
        if stride != elements {
            return None;
        }
        elements = elements.checked_mul(extent)?;
    }
    Some(axes.into_iter().map(|(_, extent)| extent).collect())
}

fn numbers(pickle: &Pickle<'_>, tuple: Value) -> Option<Vec<u64>> {
    let items = pickle.items(tuple).filter(|items| items.len() <= MAX_RANK)?;
    items.iter().map(|&item| if let Value::Int(number) = item { u64::try_from(number).ok() } else { None }).collect()
}

/// The dtype of a class of storages or a constant of PyTorch, and the number of words that make an
/// element.
fn dtype(name: &str) -> Option<(Dtype, u64)> {
    let dtype = match name {
        "FloatStorage" | "float32" => Dtype::F32,
        "DoubleStorage" | "float64" => Dtype::F64,
        "HalfStorage" | "float16" => Dtype::F16,
        "BFloat16Storage" | "bfloat16" => Dtype::BF16,
        "LongStorage" | "int64" => Dtype::I64,
        "IntStorage" | "QInt32Storage" | "int32" | "qint32" => Dtype::I32,
        "ShortStorage" | "int16" => Dtype::I16,
        "CharStorage" | "QInt8Storage" | "int8" | "qint8" => Dtype::I8,
        "ByteStorage" | "QUInt8Storage" | "uint8" | "quint8" => Dtype::U8,
        "BoolStorage" | "bool" => Dtype::BOOL,
        "ComplexFloatStorage" | "complex64" => Dtype::C64,
        "ComplexDoubleStorage" | "complex128" => return Some((Dtype::F64, 2)),
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "float8_e4m3fnuz" => Dtype::F8_E4M3FNUZ,
        "float8_e5m2fnuz" => Dtype::F8_E5M2FNUZ,
        "float8_e8m0fnu" => Dtype::F8_E8M0,
        _ => return None,
    };
    Some((dtype, 1))
}
