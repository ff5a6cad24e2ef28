//! Weights outside of the raw data of initializers.

use super::*;

/// A tensor without a name, with `data` in field `number`.
fn unnamed(kind: u8, dims: &[u8], number: u8, data: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&dim| [0x08, dim]).collect();
    [dims, vec![0x10, kind], field(number, data)].concat()
}

/// A node with one output and one attribute, whose value is in field `number`.
fn node(output: &str, kind: &str, attribute: &str, number: u8, value: &[u8]) -> Vec<u8> {
    let attribute = [field(1, attribute.as_bytes()), field(number, value)].concat();
    field(1, &[field(2, output.as_bytes()), field(4, kind.as_bytes()), field(5, &attribute)].concat())
}

fn constant(output: &str, tensor: &[u8]) -> Vec<u8> {
    node(output, "Constant", "value", 5, tensor)
}

fn model_of(graph: &[u8], more: &[u8]) -> Vec<u8> {
    [vec![0x08, 9], field(7, graph), more.to_vec()].concat()
}

/// Names, types and lengths of the regions. It holds each region's bytes to `filler`.
fn found(bytes: &[u8], filler: u8) -> Vec<(String, String, u64)> {
    let layout = walk(bytes, STEP as usize).unwrap();
    assert_eq!(Some(&layout), walk(bytes, 1100).as_ref(), "short reads make no difference");
    let row = |region: &Region| {
        let range = region.range();
        assert!(bytes[range.start as usize..range.end as usize].iter().all(|&byte| byte == filler));
        (region.name.clone(), region.type_name(), region.length)
    };
    layout.regions.iter().map(row).collect()
}

fn row(name: &str, kind: &str, length: u64) -> (String, String, u64) {
    (name.into(), kind.into(), length)
}

#[test]
fn typed_fields_are_regions_of_their_elements() {
    let named = |name: &str, tensor: Vec<u8>| field(5, &[tensor, field(8, name.as_bytes())].concat());
    let graph = [
        named("f", unnamed(1, &[8, 16], 4, &[7; 512])),
        named("wrong length", unnamed(1, &[8, 17], 4, &[7; 512])),
        named("odd", unnamed(1, &[8, 16], 4, &[7; 511])),
        named("c", unnamed(14, &[8, 8], 4, &[7; 512])),
        named("c128", unnamed(15, &[4, 8], 10, &[7; 512])),
        named("d", unnamed(11, &[64], 10, &[7; 512])),
        named("numbers", unnamed(6, &[44], 5, &[7; 300])),
        named("halves", unnamed(10, &[44], 5, &[7; 300])),
        named("long", unnamed(7, &[44], 7, &[7; 300])),
        named("unsigned", unnamed(13, &[44], 11, &[7; 300])),
        named("first", [unnamed(1, &[4], 9, &[]), field(4, &[7; 16]), field(9, &[8; 16])].concat()),
    ];
    let want = [
        row("f", "F32[8, 16]", 512),
        row("wrong length", "F32[128]", 512),
        row("odd", "U8[511]", 511),
        row("c", "C64[8, 8]", 512),
        row("c128", "F64[64]", 512),
        row("d", "F64[64]", 512),
        row("numbers", "U8[300]", 300),
        row("halves", "U8[300]", 300),
        row("long", "U8[300]", 300),
        row("unsigned", "U8[300]", 300),
        row("first", "F32[4]", 16),
    ];
    assert_eq!(found(&model_of(&graph.concat(), &[]), 7), want);
}

#[test]
fn nodes_subgraphs_and_functions_hold_weights() {
    let weights = |name: &str| [unnamed(1, &[8, 16], 9, &[7; 512]), field(8, name.as_bytes())].concat();
    let small = constant("small", &unnamed(1, &[4], 9, &[7; 16]));
    let sparse = field(1, &weights("sparse"));
    let inner = [constant("w", &weights("")), field(5, &weights("initial")), small.clone()].concat();
    let branch = |number: u8, graph: &[u8]| {
        let attribute = |name: &str| field(5, &[field(1, name.as_bytes()), field(number, graph)].concat());
        [field(3, b"the if"), attribute("then_branch"), attribute("else_branch")].concat()
    };
    let graph = [
        constant("w", &weights("its own")),
        node("lists", "Custom", "tensors", 10, &weights("")),
        node("sparse", "Constant", "sparse_value", 22, &sparse),
        node("", "Constant", "value", 5, &weights("only its own")),
        node("", "Constant", "value", 5, &weights("")),
        field(1, &branch(6, &[inner.clone(), field(1, &branch(6, &inner))].concat())),
        node("scan", "Scan", "bodies", 11, &inner),
        small,
        field(15, &[sparse, field(2, &weights("indices"))].concat()),
    ];
    // A node of a function has another number than one of a graph.
    let node = constant("w", &weights(""));
    let function = [field(1, b"f"), vec![7 << 3 | 2], node[1..].to_vec()].concat();
    let names = [
        "w",
        "lists.tensors",
        "sparse",
        "only its own",
        "the if.then_branch/w",
        "the if.then_branch/initial",
        "the if.then_branch/the if.then_branch/w",
        "the if.then_branch/the if.then_branch/initial",
        "the if.then_branch/the if.else_branch/w",
        "the if.then_branch/the if.else_branch/initial",
        "the if.else_branch/w",
        "the if.else_branch/initial",
        "the if.else_branch/the if.then_branch/w",
        "the if.else_branch/the if.then_branch/initial",
        "the if.else_branch/the if.else_branch/w",
        "the if.else_branch/the if.else_branch/initial",
        "scan.bodies/w",
        "scan.bodies/initial",
        "f/w",
    ];
    let bytes = model_of(&graph.concat(), &field(25, &function));
    assert_eq!(found(&bytes, 7), names.map(|name| row(name, "F32[8, 16]", 512)));
}

/// Each level of a graph in a graph takes a few bytes; the walk stops entering at some depth.
#[test]
fn deep_and_long_paths_cost_little() {
    let nest = |levels: usize, label: &str| {
        let mut graph = constant("w", &unnamed(1, &[64], 9, &[7; 256]));
        for _ in 0..levels {
            graph = node(label, "If", "then_branch", 6, &graph);
        }
        walk(&model_of(&graph, &[]), STEP as usize)
    };
    assert_eq!(nest(2, "a").unwrap().regions[0].name, "a.then_branch/a.then_branch/w");
    assert!(nest(18, "a").is_some() && nest(21, "a").is_none() && nest(5000, "a").is_none());
    assert!(nest(4, &"a".repeat(100)).is_some() && nest(5, &"a".repeat(100)).is_none());
}

#[test]
fn a_node_that_does_not_parse_hides_no_weights() {
    let weights = unnamed(1, &[64], 9, &[7; 256]);
    let broken = field(1, &[field(2, b"x"), vec![0xFF; 40]].concat());
    let graph = [constant("a", &weights), node("if", "If", "then_branch", 6, &broken), constant("b", &weights)];
    assert_eq!(found(&model_of(&graph.concat(), &[]), 7), ["a", "b"].map(|name| row(name, "F32[64]", 256)));
}

#[test]
fn damage_leaves_regions_inside_the_file() {
    let weights = unnamed(1, &[64], 4, &[7; 256]);
    let inner = node("if", "If", "then_branch", 6, &constant("w", &weights));
    let bytes = model_of(&[inner, constant("w", &weights)].concat(), &[]);
    for i in (0..bytes.len()).filter(|i| bytes[*i] != 7) {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[i] ^= 1 << bit;
            let Some(layout) = walk(&flipped, STEP as usize) else { continue };
            assert!(layout.regions.iter().all(|region| region.range().end <= bytes.len() as u64));
            assert!(layout.regions.windows(2).all(|pair| pair[0].range().end <= pair[1].offset));
        }
    }
    (0..bytes.len()).for_each(|end| assert_eq!(walk(&bytes[..end], STEP as usize), None));
}
