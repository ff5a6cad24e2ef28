//! Models made for tests, from the weights of a committed model or at random.

use std::collections::BTreeMap;

use crate::support::common;

/// A generator of random numbers (SplitMix64), which are the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn unit(&mut self) -> f32 {
        ((self.next() >> 40) as f32 + 0.5) / (1u64 << 24) as f32
    }

    /// A normally distributed number with mean 0 and standard deviation 1.
    pub fn normal(&mut self) -> f32 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f32::consts::TAU * self.unit()).cos()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// A tensor of any dtype; only the weights of BF16 tensors can be changed.
#[derive(Clone)]
struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

/// A model whose weights can be changed.
#[derive(Clone)]
pub struct Weights(Vec<Tensor>);

impl Weights {
    /// The weights of the committed BF16 base.
    pub fn committed() -> Self {
        Self::parse(common::PAIRS[0].base)
    }

    /// A small random model with two tensors that are large enough for a sketch and one that is
    /// not.
    pub fn small(random: &mut Random) -> Self {
        let tensor = |name: &str, shape: &[u64], random: &mut Random| {
            let count = shape.iter().product::<u64>();
            let bytes = (0..count).flat_map(|_| to_bf16(0.02 * random.normal()).to_le_bytes()).collect();
            Tensor { name: name.into(), dtype: "BF16".into(), shape: shape.into(), bytes }
        };
        Self(vec![tensor("a", &[160, 256], random), tensor("b", &[256, 160], random), tensor("c", &[256], random)])
    }

    fn parse(file: &[u8]) -> Self {
        let start = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&file[8..start]).unwrap();
        let tensor = |(name, entry): (String, serde_json::Value)| {
            let offset = |i: usize| start + entry["data_offsets"][i].as_u64().unwrap() as usize;
            let shape = entry["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
            let bytes = file[offset(0)..offset(1)].to_vec();
            Tensor { name, dtype: entry["dtype"].as_str().unwrap().into(), shape, bytes }
        };
        Self(header.into_iter().filter(|(name, _)| name != "__metadata__").map(tensor).collect())
    }

    /// The first matrix: its name, its weights and the number of its columns.
    pub fn matrix(&self) -> (&str, Vec<f32>, usize) {
        let Tensor { name, shape, bytes, .. } = &self.0[0];
        (name, bytes.chunks_exact(2).map(|word| from_bf16([word[0], word[1]])).collect(), shape[1] as usize)
    }

    pub fn to_file(&self) -> Vec<u8> {
        let tensors: Vec<_> = self
            .0
            .iter()
            .map(|t| (t.name.as_str(), t.dtype.as_str(), t.shape.as_slice(), t.bytes.as_slice()))
            .collect();
        common::model(&tensors)
    }

    /// Replaces every BF16 weight by the result of `change`, which is called with the values and
    /// the shape of the tensor, and the index of the weight.
    fn changed(&self, mut change: impl FnMut(&[f32], &[u64], usize) -> f32) -> Self {
        let mut changed = self.clone();
        for tensor in changed.0.iter_mut().filter(|tensor| tensor.dtype == "BF16") {
            let values: Vec<f32> = tensor.bytes.chunks_exact(2).map(|w| from_bf16([w[0], w[1]])).collect();
            let new = (0..values.len()).flat_map(|i| to_bf16(change(&values, &tensor.shape, i)).to_le_bytes());
            tensor.bytes = new.collect();
        }
        changed
    }

    /// An unrelated model with the same statistics: the weights of each tensor are drawn from its
    /// own weights.
    pub fn redrawn(&self, random: &mut Random) -> Self {
        self.changed(|values, _, _| values[random.below(values.len())])
    }

    /// A fine-tune in which every weight has a little noise added.
    pub fn noisy(&self, random: &mut Random) -> Self {
        self.changed(|values, _, i| values[i] + 0.02 * scale(values, i) * random.normal())
    }

    /// A fine-tune in which every matrix has a product of rank 2 added.
    pub fn low_rank(&self, random: &mut Random) -> Self {
        let mut factors: (Vec<[f32; 2]>, Vec<[f32; 2]>) = Default::default();
        self.changed(|values, shape, i| {
            let &[rows, columns] = shape else { return values[i] };
            if i == 0 {
                let mut draw = |count: u64| (0..count).map(|_| [random.normal(), random.normal()]).collect();
                factors = (draw(rows), draw(columns));
            }
            let (a, b) = (factors.0[i / columns as usize], factors.1[i % columns as usize]);
            values[i] + 0.01 * scale(values, 0) * (a[0] * b[0] + a[1] * b[1])
        })
    }

    /// A fine-tune in which one weight in fifty has changed a lot.
    pub fn sparse(&self, random: &mut Random) -> Self {
        self.changed(
            |values, _, i| if random.below(50) == 0 { values[i] * (1.0 + 0.3 * random.normal()) } else { values[i] },
        )
    }
}

/// The root mean square of the weights around `i`.
fn scale(values: &[f32], i: usize) -> f32 {
    let near = &values[i / 64 * 64..(i / 64 * 64 + 64).min(values.len())];
    (near.iter().map(|value| value * value).sum::<f32>() / near.len() as f32).sqrt()
}

fn from_bf16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

fn to_bf16(value: f32) -> u16 {
    ((value.to_bits() + 0x7FFF + (value.to_bits() >> 16 & 1)) >> 16) as u16
}
