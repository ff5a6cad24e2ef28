//! The `adapter_config.json` of PEFT.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};
use crate::json::{Json, value_of};
use crate::quoted::Quoted;
use crate::steps;

/// Maximum length of a configuration in bytes.
const LONGEST: usize = 16 << 20;

/// The fields of adapters that are more than a product of two factors. They must be absent, or have
/// an empty value.
const OTHERS: [&str; 13] = [
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "arrow_config",
    "velora_config",
    "monteclora_config",
    "mica",
    "kasa_config",
];

/// The ways to begin a training that leave the base as it is.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// The configuration of a LoRA adapter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    rank: Option<u64>,
    alpha: f64,
    root: bool,
    pub(super) transposed: bool,
    ranks: Patterns,
    alphas: Patterns,
}

/// The numbers of the modules that patterns stand for, by the patterns' names; `None` for a name
/// that has several.
#[derive(Debug, Clone, Default, PartialEq)]
struct Patterns {
    /// Names of whole modules.
    modules: HashMap<String, Option<f64>>,
    /// Names of modules, with or without their beginning.
    ends: HashMap<String, Option<f64>>,
}

/// A field of a configuration. What is nested deeper is checked to be JSON, and dropped: as values
/// it would take a hundred times the memory.
#[derive(Debug)]
enum Field {
    Null,
    Flag(bool),
    Whole(u64),
    Number(f64),
    Text(String),
    /// An array, and whether it is empty.
    List(bool),
    /// The numbers of an object; `None` for other values.
    Numbers(BTreeMap<String, Option<f64>>),
}

/// The fields of a configuration, of which the last one of a name counts.
type Fields = BTreeMap<String, Field>;

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// `Format` for what is no JSON object, `Corrupt` for fields of other types, `Unsupported` for
    /// adapters that are not LoRA, or more than that.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        if json.len() > LONGEST {
            return Err(Error::limit("the adapter's configuration is too long")
                .figures(format_args!("at most {LONGEST} bytes"), json.len()));
        }
        let fields = str::from_utf8(json).ok().and_then(|text| fields(text).ok());
        let fields = fields.ok_or_else(|| Error::format("the adapter's configuration is not a JSON object"))?;
        check_kind(&fields)?;
        let alpha = match fields.get("lora_alpha") {
            None | Some(Field::Null) => 8.0,
            Some(value) => finite("lora_alpha", value.as_f64())?,
        };
        let rank = match fields.get("r") {
            None | Some(Field::Null) => None,
            Some(&Field::Whole(rank)) if rank > 0 => Some(rank),
            Some(_) => return Err(wrong("r")),
        };
        Ok(Self {
            rank,
            alpha,
            root: flag(&fields, "use_rslora")?,
            transposed: flag(&fields, "fan_in_fan_out")?,
            ranks: Patterns::read(&fields, "rank_pattern")?,
            alphas: Patterns::read(&fields, "alpha_pattern")?,
        })
    }

    /// The factor of the product in a module whose factors have this rank.
    ///
    /// # Errors
    /// `Corrupt` for another rank than the configuration states, and for a factor that is not
    /// finite; `Unsupported` if several patterns fit the module.
    pub(super) fn scale(&self, module: &str, rank: u64) -> Result<f32> {
        let stated = self.ranks.one(module)?.map(|rank| rank as u64).or(self.rank);
        if let Some(stated) = stated.filter(|&stated| stated != rank) {
            return Err(Error::corrupt("the adapter's factors have another rank than its configuration states")
                .tensor(module)
                .figures(stated, rank));
        }
        let alpha = self.alphas.one(module)?.unwrap_or(self.alpha);
        let divisor = if self.root { (rank as f64).sqrt() } else { rank as f64 };
        let scale = (alpha / divisor) as f32;
        if scale.is_finite() {
            return Ok(scale);
        }
        Err(Error::corrupt("the adapter's scale is not a finite number").tensor(module))
    }
}

/// Checks that the adapter is a plain LoRA adapter.
fn check_kind(fields: &Fields) -> Result<()> {
    match fields.get("peft_type") {
        Some(Field::Text(kind)) if kind == "LORA" => {}
        Some(Field::Text(kind)) => {
            return Err(Error::unsupported(format!(
                "adapters of the type {} cannot be merged, only LORA",
                Quoted(kind)
            )));
        }
        _ => return Err(Error::format("the adapter's configuration has no peft_type")),
    }
    let empty = |value: &Field| match value {
        Field::Null | Field::Flag(false) | Field::List(true) => true,
        Field::Numbers(numbers) => numbers.is_empty(),
        _ => false,
    };
    if let Some(name) = OTHERS.iter().find(|name| fields.get(**name).is_some_and(|value| !empty(value))) {
        return Err(Error::unsupported(format!("adapters with {name} cannot be merged")));
    }
    match fields.get("init_lora_weights") {
        Some(Field::Text(beginning)) if !BEGINNINGS.contains(&beginning.as_str()) => {
            let message = format!(
                "adapters with init_lora_weights {} change the base before they are trained",
                Quoted(beginning)
            );
            Err(Error::unsupported(message))
        }
        _ => Ok(()),
    }
}

fn wrong(name: &str) -> Error {
    Error::corrupt(format!("the adapter's configuration has a wrong value for {name}"))
}

fn flag(fields: &Fields, name: &str) -> Result<bool> {
    match fields.get(name) {
        None | Some(Field::Null) => Ok(false),
        Some(&Field::Flag(flag)) => Ok(flag),
        Some(_) => Err(wrong(name)),
    }
}

fn finite(name: &str, value: Option<f64>) -> Result<f64> {
    value.filter(|number| number.is_finite()).ok_or_else(|| wrong(name))
}

impl Patterns {
    /// Reads the patterns of a field. A pattern may be a name of modules, with or without its
    /// beginning. PEFT takes it for a regular expression.
    fn read(fields: &Fields, name: &str) -> Result<Self> {
        let numbers = match fields.get(name) {
            None | Some(Field::Null) => return Ok(Self::default()),
            Some(Field::Numbers(numbers)) => numbers,
            Some(_) => return Err(wrong(name)),
        };
        let mut patterns = Self::default();
        for (key, &number) in numbers {
            let (module, known) = key
                .strip_prefix('^')
                .map_or((key.as_str(), &mut patterns.ends), |module| (module, &mut patterns.modules));
            let module = module.replace("\\.", ".");
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            if module.is_empty() || !module.chars().all(plain) {
                let message = format!("the pattern {} of the adapter is a regular expression", Quoted(key));
                return Err(Error::unsupported(message));
            }
            let number = Some(finite(name, number)?);
            let first = known.entry(module).or_insert(number);
            *first = first.filter(|_| *first == number);
        }
        Ok(patterns)
    }

    /// The number of the pattern that fits a module; `None` if no pattern does.
    fn one(&self, module: &str) -> Result<Option<f64>> {
        let ends = std::iter::once(module).chain(module.match_indices('.').map(|(at, _)| &module[at + 1..]));
        let ends = ends.inspect(|_| steps::add(1)).filter_map(|end| self.ends.get(end));
        let mut fitting = self.modules.get(module).into_iter().chain(ends);
        let Some(first) = fitting.next() else { return Ok(None) };
        if first.is_none() || fitting.any(|number| number != first) {
            return Err(Error::unsupported("several patterns of the adapter fit the module").tensor(module));
        }
        Ok(*first)
    }
}

impl Field {
    fn read(json: &mut Json<'_>) -> Result<Self> {
        Ok(match json.peek() {
            Some(b'"') => Self::Text(json.string()?.into_owned()),
            Some(b'[') => {
                let mut empty = true;
                json.array(|json| {
                    empty = false;
                    json.skip()
                })?;
                Self::List(empty)
            }
            Some(b'{') => {
                let mut numbers = BTreeMap::new();
                json.object(|json, name| {
                    numbers.insert(name.into_owned(), number(json)?);
                    Ok(())
                })?;
                Self::Numbers(numbers)
            }
            Some(first @ (b't' | b'f')) => json.skip().map(|()| Self::Flag(first == b't'))?,
            Some(b'n') => json.skip().map(|()| Self::Null)?,
            _ => {
                let text = json.number_text()?;
                text.parse().map_or_else(|_| Self::Number(value_of(text)), Self::Whole)
            }
        })
    }

    fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Whole(number) => Some(number as f64),
            Self::Number(number) => Some(number),
            _ => None,
        }
    }
}

/// Reads a number; skips a value of another kind.
fn number(json: &mut Json<'_>) -> Result<Option<f64>> {
    match json.peek() {
        Some(b'-' | b'0'..=b'9') => json.number_text().map(|text| Some(value_of(text))),
        _ => json.skip().map(|()| None),
    }
}

/// Reads the fields of a configuration.
fn fields(text: &str) -> Result<Fields> {
    let (mut json, mut fields) = (Json::new("the adapter's configuration", text, 0), Fields::new());
    json.object(|json, name| {
        fields.insert(name.into_owned(), Field::read(json)?);
        Ok(())
    })?;
    json.end()?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn config(more: &str) -> Result<Config> {
        Config::parse(format!("{{\"peft_type\": \"LORA\"{more}}}").as_bytes())
    }

    #[test]
    fn scales_follow_alpha_rank_and_patterns() {
        let scale = |more: &str, module: &str| config(more).and_then(|config| config.scale(module, 4));
        assert_eq!(scale(", \"r\": 4, \"lora_alpha\": 6", "m"), Ok(1.5));
        assert_eq!(scale(", \"lora_alpha\": 6, \"use_rslora\": true", "m"), Ok(3.0));
        let patterns =
            ", \"r\": 8, \"rank_pattern\": {\"a.q\": 4}, \"alpha_pattern\": {\"q\": 2, \"^a.q\": 2, \"^q\": 9}";
        assert_eq!(scale(patterns, "a.q"), Ok(0.5));
        assert_eq!(scale(patterns, "a.qq").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(scale(", \"r\": 8", "m").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(scale(", \"lora_alpha\": 1e300", "m").unwrap_err().kind(), ErrorKind::Corrupt);
        let twice = ", \"alpha_pattern\": {\"q\": 2, \"a.q\": 3}";
        assert_eq!(scale(twice, "a.q").unwrap_err().kind(), ErrorKind::Unsupported);
        let spelt_twice = ", \"r\": 4, \"alpha_pattern\": {\"a.q\": 2, \"a\\\\.q\": 3, \"b.q\": 2, \"b\\\\.q\": 2}";
        assert_eq!(scale(spelt_twice, "a.q").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!((scale(spelt_twice, "b.q"), scale(spelt_twice, "c.q")), (Ok(0.5), Ok(2.0)));
    }

    #[test]
    fn what_is_more_than_a_product_is_refused_by_name() {
        for (more, name) in [
            (", \"use_dora\": true", "use_dora"),
            (", \"lora_bias\": true", "lora_bias"),
            (", \"layer_replication\": [[0, 4]]", "layer_replication"),
            (", \"trainable_token_indices\": [1]", "trainable_token_indices"),
            (", \"target_parameters\": [\"experts\"]", "target_parameters"),
            (", \"init_lora_weights\": \"pissa\"", "pissa"),
            (", \"alpha_pattern\": {\"layers.[0-9]\": 1}", "layers.[0-9]"),
        ] {
            let error = config(more).unwrap_err();
            assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains(name), "{error}");
        }
        let other = Config::parse(b"{\"peft_type\": \"LOHA\"}").unwrap_err();
        assert!(other.kind() == ErrorKind::Unsupported && other.to_string().contains("LOHA"));
        config(", \"use_dora\": false, \"target_parameters\": null, \"layer_replication\": [], \"init_lora_weights\": true")
            .unwrap();
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "[]", "{}", "{\"peft_type\": 3}", &"[".repeat(100_000), "<!doctype html>"] {
            assert_eq!(Config::parse(text.as_bytes()).unwrap_err().kind(), ErrorKind::Format, "{text:.40}");
        }
        for more in [
            ", \"r\": 0",
            ", \"r\": -1",
            ", \"r\": \"8\"",
            ", \"lora_alpha\": \"x\"",
            ", \"alpha_pattern\": 3",
            ", \"alpha_pattern\": {\"a\": []}",
            ", \"use_rslora\": 1",
        ] {
            assert_eq!(config(more).unwrap_err().kind(), ErrorKind::Corrupt, "{more}");
        }
    }
}
