use super::*;
use crate::error::ErrorKind;
use crate::layout::Dtype;

fn adapter(tensors: &[(&str, Dtype, &[u64])]) -> Result<Adapter> {
    let config = Config::parse(b"{\"peft_type\": \"LORA\", \"lora_alpha\": 4}").unwrap();
    Adapter::new(&config, &Layout::of_tensors(tensors))
}

const F32: Dtype = Dtype::F32;

#[test]
fn factors_are_paired_by_module() {
    let adapter = adapter(&[
        ("base_model.model.m.q.lora_B.weight", F32, &[5, 2]),
        ("base_model.model.m.q.lora_A.weight", F32, &[2, 3]),
        ("base_model.model.e.lora_embedding_A", F32, &[2, 9]),
        ("base_model.model.e.lora_embedding_B", F32, &[4, 2]),
        ("base_model.model.head.modules_to_save.weight", F32, &[7]),
    ]);
    let adapter = adapter.unwrap();
    let shape = Shape { rows: 5, columns: 3, rank: 2, transposed: false };
    assert_eq!(adapter.pairs[0], Pair { module: "m.q".into(), a: 1, b: 0, shape, scale: 2.0, embedding: false });
    assert!(adapter.pairs[1].embedding);
    assert_eq!(adapter.pairs[1].shape, Shape { rows: 9, columns: 4, rank: 2, transposed: true });
    assert_eq!(adapter.replaced, [("head.weight".to_owned(), 4)]);
}

#[test]
fn names_of_the_base_may_have_more_or_less_before_them() {
    let tensors = ["a.layers.0.q", "a.layers.1.q"].map(|module| {
        [format!("base_model.model.{module}.lora_A.weight"), format!("base_model.model.{module}.lora_B.weight")]
    });
    let tensors: Vec<(&str, Dtype, &[u64])> =
        tensors.iter().flatten().map(|name| (name.as_str(), F32, &[2u64, 2][..])).collect();
    let adapter = adapter(&tensors).unwrap();
    for (name, found) in [
        ("a.layers.0.q.weight", Some(0)),
        ("layers.1.q.weight", Some(1)),
        ("model.a.layers.1.q.weight", Some(1)),
        ("q.weight", None),
        ("model.layers.1.q.weight", None),
        ("xa.layers.1.q.weight", None),
        ("a.layers.0.q.bias", None),
        ("weight", None),
    ] {
        assert_eq!(adapter.find(name), found, "{name}");
    }
}

#[test]
fn hostile_adapters_are_refused() {
    let (a, b) = ("base_model.model.m.lora_A.weight", "base_model.model.m.lora_B.weight");
    let kind = |tensors: &[(&str, Dtype, &[u64])]| adapter(tensors).unwrap_err().kind();
    assert_eq!(kind(&[(a, F32, &[2, 3])]), ErrorKind::Corrupt);
    assert_eq!(kind(&[(a, F32, &[2, 3]), (b, F32, &[3, 3])]), ErrorKind::Corrupt);
    assert_eq!(kind(&[(a, F32, &[0, 3]), (b, F32, &[3, 0])]), ErrorKind::Corrupt);
    assert_eq!(kind(&[(a, F32, &[2, 0]), (b, F32, &[3, 2])]), ErrorKind::Corrupt);
    assert_eq!(kind(&[(a, F32, &[2, 3, 1, 1]), (b, F32, &[3, 2])]), ErrorKind::Unsupported);
    assert_eq!(kind(&[(a, Dtype::I32, &[2, 3]), (b, F32, &[3, 2])]), ErrorKind::Unsupported);
    assert_eq!(kind(&[(a, F32, &[1025, 3]), (b, F32, &[3, 1025])]), ErrorKind::Limit);
    assert_eq!(kind(&[(a, F32, &[2, 1 << 40]), (b, F32, &[3, 2])]), ErrorKind::Limit);
    assert_eq!(kind(&[(a, F32, &[8, 1 << 20]), (b, F32, &[3, 8])]), ErrorKind::Limit);
    let magnitude = "base_model.model.m.lora_magnitude_vector.weight";
    assert_eq!(kind(&[(magnitude, F32, &[2])]), ErrorKind::Unsupported);
    assert_eq!(kind(&[("base_model.model.m.lora_B.bias", F32, &[2])]), ErrorKind::Unsupported);
    let again = "base_model.model.m.lora_A.default.weight";
    assert_eq!(kind(&[(a, F32, &[2, 3]), (again, F32, &[2, 3])]), ErrorKind::Corrupt);
}
