//! The `adapter_config.json` of PEFT.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

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
    ranks: Vec<(Pattern, f64)>,
    alphas: Vec<(Pattern, f64)>,
}

/// A pattern that stands for the modules of a name, or one module.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    name: String,
    /// The name is that of the whole module.
    whole: bool,
}

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
        let fields: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|_| Error::format("the adapter's configuration is not a JSON object"))?;
        check_kind(&fields)?;
        let alpha = match fields.get("lora_alpha") {
            None | Some(Value::Null) => 8.0,
            Some(value) => finite("lora_alpha", value)?,
        };
        let rank = match fields.get("r") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_u64().filter(|&rank| rank > 0).ok_or_else(|| wrong("r"))?),
        };
        Ok(Self {
            rank,
            alpha,
            root: flag(&fields, "use_rslora")?,
            transposed: flag(&fields, "fan_in_fan_out")?,
            ranks: patterns(&fields, "rank_pattern")?,
            alphas: patterns(&fields, "alpha_pattern")?,
        })
    }

    /// The factor of the product in a module whose factors have this rank.
    ///
    /// # Errors
    /// `Corrupt` for another rank than the configuration states, and for a factor that is not
    /// finite; `Unsupported` if several patterns fit the module.
    pub(super) fn scale(&self, module: &str, rank: u64) -> Result<f32> {
        let stated = one(&self.ranks, module)?.map(|rank| rank as u64).or(self.rank);
        if let Some(stated) = stated.filter(|&stated| stated != rank) {
            return Err(Error::corrupt("the adapter's factors have another rank than its configuration states")
                .tensor(module)
                .figures(stated, rank));
        }
        let alpha = one(&self.alphas, module)?.unwrap_or(self.alpha);
        let divisor = if self.root { (rank as f64).sqrt() } else { rank as f64 };
        let scale = (alpha / divisor) as f32;
        if scale.is_finite() {
            return Ok(scale);
        }
        Err(Error::corrupt("the adapter's scale is not a finite number").tensor(module))
    }
}

/// Checks that the adapter is a plain LoRA adapter.
fn check_kind(fields: &Map<String, Value>) -> Result<()> {
    match fields.get("peft_type") {
        Some(Value::String(kind)) if kind == "LORA" => {}
        Some(Value::String(kind)) => {
            return Err(Error::unsupported(format!("adapters of the type {kind:?} cannot be merged, only LORA")));
        }
        _ => return Err(Error::format("the adapter's configuration has no peft_type")),
    }
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    if let Some(name) = OTHERS.iter().find(|name| fields.get(**name).is_some_and(|value| !empty(value))) {
        return Err(Error::unsupported(format!("adapters with {name} cannot be merged")));
    }
    match fields.get("init_lora_weights") {
        Some(Value::String(beginning)) if !BEGINNINGS.contains(&beginning.as_str()) => {
            let message =
                format!("adapters with init_lora_weights {beginning:?} change the base before they are trained");
            Err(Error::unsupported(message))
        }
        _ => Ok(()),
    }
}

fn wrong(name: &str) -> Error {
    Error::corrupt(format!("the adapter's configuration has a wrong value for {name}"))
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| wrong(name)),
    }
}

fn finite(name: &str, value: &Value) -> Result<f64> {
    value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| wrong(name))
}

/// The patterns of a field, with their numbers.
fn patterns(fields: &Map<String, Value>, name: &str) -> Result<Vec<(Pattern, f64)>> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(map)) => {
            map.iter().map(|(key, value)| Ok((Pattern::parse(key)?, finite(name, value)?))).collect()
        }
        Some(_) => Err(wrong(name)),
    }
}

impl Pattern {
    /// Reads a pattern, which may be a name of modules, with or without its beginning. PEFT takes it
    /// for a regular expression.
    fn parse(key: &str) -> Result<Self> {
        let (name, whole) = key.strip_prefix('^').map_or((key, false), |name| (name, true));
        let name = name.replace("\\.", ".");
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !name.is_empty() && name.chars().all(plain) {
            return Ok(Self { name, whole });
        }
        Err(Error::unsupported(format!("the pattern {key:?} of the adapter is a regular expression")))
    }

    fn fits(&self, module: &str) -> bool {
        let before = module.strip_suffix(self.name.as_str());
        before.is_some_and(|before| before.is_empty() || !self.whole && before.ends_with('.'))
    }
}

/// The number of the pattern that fits a module; `None` if no pattern does.
fn one(patterns: &[(Pattern, f64)], module: &str) -> Result<Option<f64>> {
    let mut fitting = patterns.iter().filter(|(pattern, _)| pattern.fits(module)).map(|(_, number)| *number);
    let first = fitting.next();
    if fitting.any(|number| Some(number) != first) {
        return Err(Error::unsupported("several patterns of the adapter fit the module").tensor(module));
    }
    Ok(first)
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
