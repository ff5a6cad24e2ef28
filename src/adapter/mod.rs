//! LoRA adapters of PEFT: a safetensors file of factors, and a configuration.

mod config;
mod job;

use std::collections::HashMap;

pub(crate) use config::Config;
pub use job::Merge;

use crate::error::{Error, Result};
use crate::layout::{Kind, Layout, Region};
use crate::merge::{MAX_NUMBERS, MAX_RANK, Shape, is_factor};
use crate::steps;

/// The beginning of all names of an adapter's tensors.
const PREFIX: &str = "base_model.model.";

/// Maximum number of dots in the name of a tensor. Each of them begins an end of the name, and all
/// ends are kept.
const MAX_DOTS: usize = 32;

/// The factors of a module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    /// The name of the module in the model.
    pub(crate) module: String,
    /// The numbers of the regions that hold the factors.
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) shape: Shape,
    pub(crate) scale: f32,
    /// The module is an embedding: PEFT rounds its change to the weights' dtype.
    pub(crate) embedding: bool,
}

/// An adapter's tensors by their roles.
#[derive(Debug, Default)]
pub(crate) struct Adapter {
    pub(crate) pairs: Vec<Pair>,
    /// Tensors that take the place of the base's: their names in the model, and their regions.
    pub(crate) replaced: Vec<(String, usize)>,
    /// The tensors of the model by the ends of their names, as numbers of pairs and behind them of
    /// replaced tensors; `None` for an end that several tensors have.
    names: HashMap<String, Option<usize>>,
}

/// The regions of a module's factors, as they are found.
#[derive(Debug, Default)]
struct Found {
    a: Option<usize>,
    b: Option<usize>,
    embedding: bool,
}

/// The role of a tensor of an adapter.
enum Role<'a> {
    A(&'a str),
    B(&'a str),
    EmbeddingA(&'a str),
    EmbeddingB(&'a str),
    Replaced(String),
}

impl Adapter {
    /// Sorts the tensors of an adapter's file.
    ///
    /// # Errors
    /// `Corrupt` for factors that do not fit each other or the configuration, `Unsupported` for
    /// tensors that are neither factors nor weights of the model, `Limit` for factors that are too
    /// large.
    pub(crate) fn new(config: &Config, layout: &Layout) -> Result<Self> {
        if layout.kind != Kind::Safetensors {
            return Err(Error::format("the adapter is not a safetensors file"));
        }
        let mut adapter = Self::default();
        let mut found: Vec<(String, Found)> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for (i, region) in layout.regions.iter().enumerate() {
            check_name(&region.name)?;
            let (module, a, embedding) = match role(&region.name)? {
                Role::Replaced(name) => {
                    adapter.replaced.push((name, i));
                    continue;
                }
                Role::A(module) => (module, true, false),
                Role::B(module) => (module, false, false),
                Role::EmbeddingA(module) => (module, true, true),
                Role::EmbeddingB(module) => (module, false, true),
            };
            let number = *numbers.entry(module.to_owned()).or_insert_with(|| {
                found.push((module.to_owned(), Found::default()));
                found.len() - 1
            });
            let pair = &mut found[number].1;
            let slot = if a { &mut pair.a } else { &mut pair.b };
            if slot.replace(i).is_some() {
                return Err(Error::corrupt("the adapter has the same factor twice").tensor(&region.name));
            }
            pair.embedding = embedding;
        }
        for (module, found) in found {
            adapter.pairs.push(pair(config, layout, module, &found)?);
        }
        adapter.index();
        Ok(adapter)
    }

    /// The number of tensors of the model that the adapter changes.
    pub(crate) fn count(&self) -> usize {
        self.pairs.len() + self.replaced.len()
    }

    /// The name in the model of a tensor that the adapter changes.
    pub(crate) fn name(&self, number: usize) -> String {
        match self.pairs.get(number) {
            Some(pair) => format!("{}.weight", pair.module),
            None => self.replaced.get(number - self.pairs.len()).map(|(name, _)| name.clone()).unwrap_or_default(),
        }
    }

    /// The number of the tensor that `name` of a base stands for: that of the same name, or else
    /// the only one of which one name is the end of the other, behind a dot.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        if let Some(found) = self.names.get(name) {
            return *found;
        }
        // No name of the adapter is as long as the ends behind further dots.
        let dots: Vec<usize> = name.rmatch_indices('.').map(|(at, _)| at).take(MAX_DOTS + 1).collect();
        steps::add(dots.len());
        let mut ends = dots.iter().rev().map(|at| &name[at + 1..]);
        let found = ends.find_map(|end| self.names.get(end).copied().flatten().map(|number| (end, number)));
        found.filter(|(end, number)| self.name(*number) == *end).map(|(_, number)| number)
    }

    /// Enters the ends of all names.
    fn index(&mut self) {
        for number in 0..self.count() {
            let name = self.name(number);
            let ends = name.match_indices('.').map(|(at, _)| name[at + 1..].to_owned());
            for end in ends.filter(|end| end.contains('.')) {
                self.names.entry(end).and_modify(|other| *other = None).or_insert(Some(number));
            }
        }
        // A whole name stands for its tensor, whatever else ends so; factors come before weights.
        for number in (0..self.count()).rev() {
            self.names.insert(self.name(number), Some(number));
        }
    }
}

/// The role of a tensor of a module.
type RoleOf = fn(&str) -> Role<'_>;

fn check_name(name: &str) -> Result<()> {
    let dots = name.matches('.').count();
    if dots <= MAX_DOTS {
        return Ok(());
    }
    let error = Error::limit("a tensor of the adapter has a name of too many parts").tensor(name);
    Err(error.figures(format_args!("at most {MAX_DOTS} dots"), dots))
}

/// The role of the tensor `name`.
fn role(name: &str) -> Result<Role<'_>> {
    let inner = name.strip_prefix(PREFIX).unwrap_or(name);
    let ends: [(&str, RoleOf); 6] = [
        (".lora_A.weight", |module| Role::A(module)),
        (".lora_B.weight", |module| Role::B(module)),
        (".lora_A.default.weight", |module| Role::A(module)),
        (".lora_B.default.weight", |module| Role::B(module)),
        (".lora_embedding_A", |module| Role::EmbeddingA(module)),
        (".lora_embedding_B", |module| Role::EmbeddingB(module)),
    ];
    for (end, role) in ends {
        if let Some(module) = inner.strip_suffix(end) {
            return Ok(role(module));
        }
    }
    if inner.contains("lora_") || inner.contains("trainable_tokens") {
        return Err(Error::unsupported("the adapter has a tensor that is no factor").tensor(name));
    }
    Ok(Role::Replaced(inner.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", ".")))
}

/// Checks the factors of a module.
fn pair(config: &Config, layout: &Layout, module: String, found: &Found) -> Result<Pair> {
    let (Some(a), Some(b)) = (found.a, found.b) else {
        return Err(Error::corrupt("the adapter has only one of the two factors").tensor(&module));
    };
    let (first, second) = (&layout.regions[a], &layout.regions[b]);
    let (rank, inner) = extents(first)?;
    let (outer, other) = extents(second)?;
    if rank != other || rank == 0 || inner == 0 || outer == 0 {
        return Err(Error::corrupt("the adapter's factors do not fit each other")
            .tensor(&module)
            .figures(first.type_name(), second.type_name()));
    }
    if rank > MAX_RANK || rank * inner > MAX_NUMBERS || rank * outer > MAX_NUMBERS {
        let most =
            format_args!("a rank of at most {MAX_RANK}, and factors of at most {MAX_NUMBERS} numbers").to_string();
        return Err(Error::limit("the adapter's factors are too large")
            .tensor(&module)
            .figures(most, first.type_name()));
    }
    let transposed = found.embedding || config.transposed;
    let (rows, columns) = if transposed { (inner, outer) } else { (outer, inner) };
    let shape = Shape { rows: rows as usize, columns: columns as usize, rank: rank as usize, transposed };
    Ok(Pair { scale: config.scale(&module, rank)?, module, a, b, shape, embedding: found.embedding })
}

/// The extents of a factor.
fn extents(region: &Region) -> Result<(u64, u64)> {
    match region.shape[..] {
        [first, second] if is_factor(region.dtype) && first <= MAX_NUMBERS && second <= MAX_NUMBERS => {
            Ok((first, second))
        }
        [_, _] if is_factor(region.dtype) => Err(Error::limit("a factor of the adapter is too large")
            .tensor(&region.name)
            .figures(format_args!("at most {MAX_NUMBERS} numbers"), region.type_name())),
        _ => Err(Error::unsupported("a factor of the adapter is no matrix of F32, F16 or BF16")
            .tensor(&region.name)
            .figures("a matrix", region.type_name())),
    }
}

#[cfg(test)]
mod tests;
