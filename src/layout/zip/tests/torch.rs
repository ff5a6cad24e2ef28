//! PyTorch's archives.

use super::archive::{dict, global, pickle, storage, tensor, text, view};
use super::*;

/// An archive of a pickle and of storages of these lengths.
fn model(value: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut zip = Zip::default().add("model/data.pkl", &pickle(value)).add("model/byteorder", b"little");
    for (i, &length) in lengths.iter().enumerate() {
        zip = zip.add(&format!("model/data/{i}"), &noise(length));
    }
    zip.add("model/version", b"3\n").finish(b"")
}

/// Names and types of the storages of a pickle, without the pickle itself.
fn storages(value: &[u8], lengths: &[usize]) -> Vec<(String, String)> {
    let layout = members(&model(value, lengths)).unwrap();
    let row = |region: &Region| (region.name.clone(), region.type_name());
    layout.regions.iter().filter(|region| region.name != "data.pkl").map(row).collect()
}

/// The dtype of a storage of 1,024 bytes that is a tensor of the class, or else of the last
/// argument.
fn dtype_of(class: &str, last: &[u8]) -> String {
    let tensor = view(&storage(class, "0", 1024), 0, &[1024], &[1], last);
    storages(&dict(&[("w", tensor)]), &[1024]).remove(0).1
}

#[test]
fn a_state_dict_names_its_storages() {
    let tied = tensor("FloatStorage", "0", &[16, 32]);
    let parameter =
        [&global("torch._utils", "_rebuild_parameter")[..], b"(", &tensor("HalfStorage", "1", &[512]), b"\x88}tR"];
    let metadata = [&dict(&[("_metadata", dict(&[("", dict(&[]))]))])[..], b"b"].concat();
    let nested = [b"](K\x07", &dict(&[("w", tensor("BFloat16Storage", "2", &[2, 256]))])[..], b"e"].concat();
    let numbered = [b"}(K\x05", &tensor("DoubleStorage", "3", &[128])[..], b"u"].concat();
    let ordered = |pairs: &[(&str, Vec<u8>)]| {
        [&global("collections", "OrderedDict")[..], b")R", &dict(pairs)[1..], &metadata].concat()
    };
    let state = ordered(&[
        ("embed.weight", tied.clone()),
        ("head.weight", tied),
        ("bias", parameter.concat()),
        ("nested", nested),
        ("numbered", numbered),
        ("scalar", tensor("LongStorage", "4", &[])),
    ]);
    let want = [
        row("embed.weight", "F32[16, 32]"),
        row("bias", "F16[512]"),
        row("nested.1.w", "BF16[2, 256]"),
        row("numbered.5", "F64[128]"),
    ];
    let lengths = [2048, 1024, 1024, 1024, 8];
    assert_eq!(storages(&state, &lengths), want);
    let below = dict(&[("epoch", b"K\x03".to_vec()), ("model", state)]);
    assert_eq!(storages(&below, &lengths), want.map(|(name, kind)| (format!("model.{name}"), kind)));
}

#[test]
fn the_class_of_a_storage_is_its_dtype() {
    let typed = |class: &str| dtype_of(class, &[]);
    assert_eq!(typed("ByteStorage"), "U8[1024]");
    assert_eq!(typed("BoolStorage"), "BOOL[1024]");
    assert_eq!(typed("IntStorage"), "I32[256]", "the length decides");
    assert_eq!(typed("ComplexFloatStorage"), "C64[128]");
    assert_eq!(typed("ComplexDoubleStorage"), "F64[128]");
    assert_eq!(typed("NewStorage"), "U8[1024]");
    let untyped = |name: &str| dtype_of("UntypedStorage", &global("torch", name));
    assert_eq!((untyped("float8_e4m3fn"), untyped("int1")), ("F8_E4M3[1024]".into(), "U8[1024]".into()));
    let complex = dict(&[("w", tensor("ComplexDoubleStorage", "0", &[8, 8]))]);
    assert_eq!(storages(&complex, &[1024]), [row("w", "F64[8, 8, 2]")]);
    let big = Zip::default()
        .add("m/data.pkl", &pickle(&dict(&[("w", tensor("FloatStorage", "0", &[256]))])))
        .add("m/byteorder", b"big")
        .add("m/data/0", &noise(1024));
    assert_eq!(found(&big.finish(b""), &noise(1024)), [row("w", "U8[1024]")]);
}

#[test]
fn shapes_are_in_the_order_of_the_elements() {
    let of = |offset: u64, shape: &[u64], strides: &[u64]| {
        let tensor = view(&storage("FloatStorage", "0", 256), offset, shape, strides, &[]);
        storages(&dict(&[("w", tensor)]), &[1024]).remove(0)
    };
    assert_eq!(of(0, &[4, 64], &[64, 1]), row("w", "F32[4, 64]"));
    assert_eq!(of(0, &[4, 64], &[1, 4]), row("w", "F32[64, 4]"), "transposed");
    assert_eq!(of(0, &[2, 8, 4, 4], &[128, 1, 32, 8]), row("w", "F32[2, 4, 4, 8]"), "channels last");
    assert_eq!(of(0, &[4, 1, 64], &[64, 0, 1]), row("w", "F32[4, 1, 64]"));
    assert_eq!(of(0, &[1, 256], &[1, 1]), row("w", "F32[1, 256]"));
    for (offset, shape, strides) in [
        (0, &[4, 63][..], &[64, 1][..]),
        (1, &[255], &[1]),
        (1, &[256], &[1]),
        (0, &[4, 64], &[0, 1]),
        (0, &[4, 64], &[64]),
        (0, &[2, 2, 64], &[64, 64, 1]),
    ] {
        assert_eq!(of(offset, shape, strides), row("w", "F32[256]"), "{offset} {shape:?} {strides:?}");
    }
    let part = view(&storage("FloatStorage", "0", 256), 0, &[128], &[1], &[]);
    let both = dict(&[("part", part), ("whole", tensor("FloatStorage", "0", &[16, 16]))]);
    assert_eq!(storages(&both, &[1024]), [row("part", "F32[16, 16]")], "the first name, the shape of the whole");
}

/// An object of TorchScript: an instance of a class, and its attributes as its state.
fn object(attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    [&global("__torch__.m", "Module")[..], b")\x81", &dict(attributes), b"b"].concat()
}

#[test]
fn torch_script_has_objects_and_constants() {
    let module = object(&[
        ("training", b"\x89".to_vec()),
        ("layer", object(&[("weight", tensor("FloatStorage", "0", &[8, 32]))])),
    ]);
    let constants = [b"(", &tensor("LongStorage", "0", &[64])[..], b"t"].concat();
    let zip = Zip::default()
        .add("m/data/0", &noise(1024))
        .add("m/data.pkl", &pickle(&module))
        .add("m/constants/0", &noise(512))
        .add("m/constants.pkl", &pickle(&constants))
        .finish(b"");
    let layout = members(&zip).unwrap();
    let tensors = layout.regions.iter().filter(|region| region.dtype != Dtype::U8);
    let names: Vec<_> = tensors.map(|region| (region.name.clone(), region.type_name())).collect();
    assert_eq!(names, [row("layer.weight", "F32[8, 32]"), row("constants.0", "I64[64]")]);
}

#[test]
fn what_came_before_an_unknown_opcode_counts() {
    let weights = tensor("FloatStorage", "0", &[8, 32]);
    let whole = dict(&[("w", weights.clone())]);
    assert_eq!(storages(&[&whole[..], b"\xFF"].concat(), &[1024]), [row("w", "F32[8, 32]")]);
    let torn = [b"}(", &text("w")[..], &weights, b"\xFF"].concat();
    assert_eq!(storages(&torn, &[1024]), [row("data/0", "F32[8, 32]")], "no name is known yet");
    let storage = [storage("FloatStorage", "0", 256), b"\xFF".to_vec()].concat();
    assert_eq!(storages(&storage, &[1024]), [row("data/0", "F32[256]")]);
    assert_eq!(storages(b"\xFF", &[1024]), [row("data/0", "U8[1024]")]);
    let same = dict(&[("data/1", weights), ("x", tensor("FloatStorage", "1", &[256]))]);
    assert_eq!(storages(&same, &[1024, 1024]), [row("data/1", "F32[8, 32]"), row("x", "F32[256]")]);
}
