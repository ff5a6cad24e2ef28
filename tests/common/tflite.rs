//! Models of TensorFlow Lite, as far as tests need them, written from front to back.

/// A tensor with data. Without scales, it is not quantised.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tensor<'a> {
    pub name: &'a str,
    /// The number of `TensorType`.
    pub kind: u8,
    pub shape: &'a [u32],
    pub data: &'a [u8],
    pub scales: &'a [f32],
    pub zero: i64,
    pub dimension: u32,
    /// The number of the tensor with the scales of blocks, plus 1.
    pub blocks: u32,
}

/// The first bytes of the models here: the offset of the table of the model, and the identifier.
pub const START: &[u8] = b"\x16\0\0\0TFL3";

/// Appends a table whose fields have so many bytes, which are zeros; a field of none is missing.
/// Returns the table's offset, and those of the fields.
pub fn table(file: &mut Vec<u8>, fields: &[usize]) -> (usize, Vec<usize>) {
    let (mut end, mut places) = (4, Vec::new());
    for &bytes in fields {
        places.push(if bytes > 0 { end } else { 0 });
        end += bytes;
    }
    let lengths = [4 + 2 * fields.len(), end];
    let start = file.len();
    file.extend(lengths.iter().chain(&places).flat_map(|&number| (number as u16).to_le_bytes()));
    let at = file.len();
    file.extend((at as i32 - start as i32).to_le_bytes());
    file.resize(at + end, 0);
    (at, places.iter().map(|place| at + place).collect())
}

/// Lets the offset at `from` lead to `to`, which is behind it.
pub fn link(file: &mut [u8], from: usize, to: usize) {
    file[from..from + 4].copy_from_slice(&((to - from) as u32).to_le_bytes());
}

/// Appends a vector of so many elements and returns its offset. The first element is at a multiple
/// of 8 bytes.
pub fn vector(file: &mut Vec<u8>, count: usize, elements: &[u8]) -> usize {
    file.resize((file.len() + 4).next_multiple_of(8) - 4, 0);
    let at = file.len();
    file.extend((count as u32).to_le_bytes());
    file.extend_from_slice(elements);
    at
}

/// Appends a vector of so many offsets, and returns its own offset.
pub fn offsets(file: &mut Vec<u8>, count: usize) -> usize {
    vector(file, count, &vec![0; 4 * count])
}

/// The start of a model whose graph and buffers are still missing: the file, and the places of the
/// offsets to the lists of graphs and of buffers.
pub fn start() -> (Vec<u8>, usize, usize) {
    let mut file = START.to_vec();
    let (model, fields) = table(&mut file, &[4, 0, 4, 0, 4]);
    assert_eq!(model, usize::from(START[0]));
    file[fields[0]] = 3;
    (file, fields[2], fields[4])
}

/// A model of one graph with these tensors, each of which has a buffer of its own.
pub fn model(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let numbered: Vec<_> = (1..).zip(tensors.iter().copied()).collect();
    let mut fields = vec![&[4][..]; tensors.len() + 1];
    fields[0] = &[];
    let (mut file, places) = described(&numbered, &fields);
    for (tensor, place) in tensors.iter().zip(&places[1..]) {
        let data = vector(&mut file, tensor.data.len(), tensor.data);
        link(&mut file, place[0], data);
    }
    file
}

/// A model of one graph with these tensors, each behind the number of its buffer, and with buffers
/// whose fields have so many bytes. The places of these fields are returned.
pub fn described(tensors: &[(u32, Tensor<'_>)], buffers: &[&[usize]]) -> (Vec<u8>, Vec<Vec<usize>>) {
    let (mut file, to_graphs, to_buffers) = start();
    let graphs = offsets(&mut file, 1);
    link(&mut file, to_graphs, graphs);
    let (graph, fields) = table(&mut file, &[4]);
    link(&mut file, graphs + 4, graph);
    let list = offsets(&mut file, tensors.len());
    link(&mut file, fields[0], list);
    for (i, (buffer, tensor)) in tensors.iter().enumerate() {
        let at = describe(&mut file, *buffer, tensor);
        link(&mut file, list + 4 + 4 * i, at);
    }
    let list = offsets(&mut file, buffers.len());
    link(&mut file, to_buffers, list);
    let mut places = Vec::new();
    for (i, fields) in buffers.iter().enumerate() {
        let (buffer, fields) = table(&mut file, fields);
        link(&mut file, list + 4 + 4 * i, buffer);
        places.push(fields);
    }
    (file, places)
}

/// Appends what a model says of a tensor with a buffer of this number. Returns its offset.
pub fn describe(file: &mut Vec<u8>, buffer: u32, tensor: &Tensor<'_>) -> usize {
    let is_quantised = !tensor.scales.is_empty() || tensor.blocks > 0;
    let (at, fields) = table(file, &[4, 1, 4, 4, if is_quantised { 4 } else { 0 }]);
    file[fields[1]] = tensor.kind;
    file[fields[2]..fields[2] + 4].copy_from_slice(&buffer.to_le_bytes());
    let shape: Vec<u8> = tensor.shape.iter().flat_map(|extent| extent.to_le_bytes()).collect();
    let shape = vector(file, tensor.shape.len(), &shape);
    link(file, fields[0], shape);
    let name = vector(file, tensor.name.len(), tensor.name.as_bytes());
    link(file, fields[3], name);
    if is_quantised {
        let quantization = quantise(file, tensor);
        link(file, fields[4], quantization);
    }
    at
}

/// Appends the scales and zero points of a tensor. Returns the offset of the table of them.
fn quantise(file: &mut Vec<u8>, tensor: &Tensor<'_>) -> usize {
    if tensor.blocks > 0 {
        let (at, fields) = table(file, &[0, 0, 0, 0, 1, 4]);
        let (details, numbers) = table(file, &[4, 4, 4]);
        file[fields[4]] = 2;
        link(file, fields[5], details);
        file[numbers[0]..numbers[0] + 4].copy_from_slice(&(tensor.blocks - 1).to_le_bytes());
        file[numbers[1]..numbers[1] + 4].copy_from_slice(&(-1i32).to_le_bytes());
        return at;
    }
    let (at, fields) = table(file, &[0, 0, 4, 4, 0, 0, 4]);
    let scales: Vec<u8> = tensor.scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    let scales = vector(file, tensor.scales.len(), &scales);
    link(file, fields[2], scales);
    let zeros = vector(file, tensor.scales.len(), &tensor.zero.to_le_bytes().repeat(tensor.scales.len()));
    link(file, fields[3], zeros);
    file[fields[6]..fields[6] + 4].copy_from_slice(&tensor.dimension.to_le_bytes());
    at
}
