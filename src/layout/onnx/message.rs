//! The messages of a model, the fields that lead from one to another, and the names on the way.

/// The kinds of message that the walker enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Model,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

/// Maximum length in bytes of the path of a subgraph. Tensors in a subgraph with a longer path, or
/// in one without a path, stay bytes.
const LONGEST_PATH: usize = 512;

impl Message {
    /// The message that field `number` of this message holds, if it is one to enter.
    pub(super) fn child(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) => Self::Attribute,
            // A graph, and graphs.
            (Self::Attribute, 6 | 11) => Self::Graph,
            // Sparse initializers, sparse attributes, and lists of those.
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            // Initializers, attributes, lists of those, and the values of a sparse tensor.
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1) => Self::Tensor,
            _ => return None,
        })
    }

    /// Tells whether field `number` is a string that names the message: the name of a function or
    /// an attribute, an output or the name of a node.
    pub(super) fn is_label(self, number: u64) -> bool {
        matches!((self, number), (Self::Function | Self::Attribute, 1) | (Self::Node, 2 | 3))
    }
}

/// A message that the walker is in.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) message: Message,
    /// Offset of the message's end.
    pub(super) end: u64,
    /// The first string that names the message, empty until it has been read. That of a subgraph is
    /// the path of its tensors; `None` if that path is too long.
    pub(super) label: Option<String>,
}

impl Open {
    /// A message in the innermost of `outer`, with the path of a subgraph.
    pub(super) fn new(message: Message, end: u64, outer: &[Self]) -> Self {
        let label = if message == Message::Graph { path(outer) } else { Some(String::new()) };
        Self { message, end, label }
    }
}

/// The path of a subgraph in the innermost of `outer`, an attribute; empty in a model.
fn path(outer: &[Open]) -> Option<String> {
    match outer.last().map(|open| open.message) {
        Some(Message::Attribute) => {
            let [.., node, attribute] = outer else { return None };
            let (node, attribute) = (node.label.as_deref()?, attribute.label.as_deref()?);
            let path = format!("{}{node}.{attribute}/", prefix(outer)?);
            (path.len() <= LONGEST_PATH).then_some(path)
        }
        _ => Some(String::new()),
    }
}

/// The path of the tensors in the innermost graph or function of `open`.
fn prefix(open: &[Open]) -> Option<String> {
    let scope = open.iter().rfind(|open| matches!(open.message, Message::Graph | Message::Function))?;
    let label = scope.label.clone()?;
    Some(if scope.message == Message::Function { format!("{label}/") } else { label })
}

/// The name of the region of a tensor that is called `own`, in the innermost of `open`. The tensor
/// of an attribute is named by its node. An empty name is none.
pub(super) fn region_name(open: &[Open], own: &str) -> String {
    let innermost = open.iter().rposition(|open| open.message != Message::SparseTensor);
    let (Some(prefix), Some(innermost)) = (prefix(open), innermost) else { return String::new() };
    let label = |open: Option<&Open>| open.and_then(|open| open.label.as_deref()).unwrap_or_default().to_owned();
    let attribute = &open[innermost];
    let name = match attribute.message {
        Message::Attribute => {
            let node = label(innermost.checked_sub(1).and_then(|node| open.get(node)));
            match label(Some(attribute)).as_str() {
                _ if node.is_empty() => own.to_owned(),
                "value" | "sparse_value" => node,
                attribute => format!("{node}.{attribute}"),
            }
        }
        _ => own.to_owned(),
    };
    if name.is_empty() { name } else { prefix + &name }
}
