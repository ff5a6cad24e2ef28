//! The offsets of nested scales, which bitsandbytes keeps in JSON; and the views of nested scales and of
//! the scales of them, which follow from weights of the base and from the offset.

use std::collections::{HashMap, VecDeque};

use super::floats::Floats;
use crate::archive::v2::View;
use crate::derived::{Derived, Gives, Span};
use crate::encode::companions::Known;
use crate::io::{Read, Source};
use crate::layout::Region;
use crate::pairing::{Models, weights};
use crate::quant::packed::NESTED;

/// The end of the name of a region of JSON, behind the name of its numbers.
pub(in crate::encode) const STATE: &str = ".quant_state.bitsandbytes__nf4";

/// The name of the offset in the JSON.
const OFFSET: &[u8] = b"\"nested_offset\":";

/// Maximum number of bytes of the JSON.
pub(super) const LONGEST: u64 = 1 << 12;

/// The regions with nested scales, and what was found for them. Each is named by its place among the
/// packed regions.
#[derive(Debug, Default)]
pub(super) struct Nested {
    /// The reads that were planned, in their order: of the base, if that is true.
    planned: VecDeque<(usize, bool)>,
    /// The offsets of the target and of the base.
    offsets: HashMap<(usize, bool), f32>,
    /// The orders of the scales' weights in the base.
    orders: Vec<(usize, Floats, Derived)>,
}

impl Nested {
    /// Plans to read the JSON of all regions with nested scales, in target and base.
    pub(super) fn reads(&mut self, models: &Models, known: &[Known]) -> Vec<Read> {
        let mut reads = Vec::new();
        let nested = || known.iter().enumerate().filter(|(_, known)| known.nested().is_some());
        if nested().next().is_none() {
            return reads;
        }
        let regions = &models.target.regions;
        let states: HashMap<&str, &Region> = regions.iter().map(|region| (&*region.name, region)).collect();
        for (index, known) in nested() {
            let name = [&regions[known.region].name, STATE].concat();
            let own = states.get(&*name).map(|region| (Source::Target, *region));
            let of_base = models.bases.named(&name).first();
            let of_base = of_base.map(|place| (Source::Base(place.base), models.bases.region(*place)));
            for (found, is_base) in [(own, false), (of_base, true)] {
                let Some((source, region)) = found.filter(|(_, region)| region.length <= LONGEST) else { continue };
                self.planned.push_back((index, is_base));
                reads.push(Read::new(source, region.range()));
            }
        }
        reads
    }

    /// Plans to derive the scales of a region from the weights of the base in this order.
    pub(super) fn plan(&mut self, index: usize, floats: Floats, order: Option<Derived>) {
        self.orders.extend(order.map(|order| (index, floats, order)));
    }

    /// Takes the bytes of the next read that was planned. Returns `false` if there is none.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        let Some(key) = self.planned.pop_front() else { return false };
        self.offsets.extend(offset(bytes).map(|offset| (key, offset)));
        true
    }

    /// Sets the offsets of packed regions, leaves out those without, and returns the views of scales.
    pub(super) fn finish(self, models: &Models, known: &mut Vec<Known>) -> Vec<(usize, View)> {
        let offset = |index: usize, is_base: bool| self.offsets.get(&(index, is_base)).copied();
        for (index, known) in known.iter_mut().enumerate() {
            let of_base = offset(index, true).unwrap_or(0.0);
            known.offsets = offset(index, false).map(|of_target| [of_target.to_bits(), of_base.to_bits()]);
        }
        let mut views = Vec::new();
        for (index, floats, order) in self.orders {
            let (known, Some(offset)) = (&known[index], self.offsets.get(&(index, false))) else { continue };
            let base = &floats.region;
            let derived = |span: Span, per_run: u64| Derived {
                element: order.per_run,
                per_run,
                gives: Gives::Spans(span, offset.to_bits()),
                ..order
            };
            let scales = (Some(known.scales), derived(Span::Place, order.per_run));
            let of_scales = (known.nested(), derived(Span::Nested, order.per_run.saturating_mul(NESTED)));
            for (region, derived) in [scales, of_scales] {
                let Some((number, region)) = region.map(|number| (number, &models.target.regions[number])) else {
                    continue;
                };
                let words = region.length / region.dtype.words().0 as u64;
                if words.saturating_mul(derived.per_run) <= weights(base) && derived.check(region, base.dtype).is_ok() {
                    views.extend(floats.derived(models, region, derived).map(|view| (number, view)));
                }
            }
        }
        known.retain(|known| known.nested().is_none() || known.offsets.is_some());
        views
    }
}

/// The offset in some JSON.
pub(in crate::encode) fn offset(json: &[u8]) -> Option<f32> {
    let place = json.windows(OFFSET.len()).position(|part| part == OFFSET)?;
    let number = json[place + OFFSET.len()..].trim_ascii_start();
    let length = number.iter().position(|byte| !b"+-.eE0123456789".contains(byte)).unwrap_or(number.len());
    decimal(&number[..length])
}

/// A decimal number, nearly: what depends on it only has to be near. The library's parser brings a
/// table of powers.
fn decimal(number: &[u8]) -> Option<f32> {
    let mut parts = number.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let (digits, exponent) = (parts.next()?, parts.next().unwrap_or(b"0"));
    let mut exponent: i32 = std::str::from_utf8(exponent).ok()?.parse().ok()?;
    let (mut value, mut is_fraction) = (0f64, false);
    for byte in digits {
        match byte {
            b'.' => is_fraction = true,
            b'0'..=b'9' => {
                value = value * 10.0 + f64::from(byte - b'0');
                exponent = exponent.saturating_sub(i32::from(is_fraction));
            }
            _ => {}
        }
    }
    let scaled = (0..exponent.unsigned_abs().min(400))
        .fold(value, |value, _| if exponent < 0 { value / 10.0 } else { value * 10.0 });
    let negative = digits.first() == Some(&b'-');
    Some(if negative { -scaled } else { scaled } as f32).filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_found_in_json() {
        let found = |number: &str| offset(format!("{{\"shape\":[1],\"nested_offset\": {number}}}").as_bytes());
        assert_eq!(found("0.03125"), Some(0.03125));
        assert_eq!(found("0.05174420401453972"), Some(0.051_744_204));
        assert_eq!(found("-1.5e-05"), Some(-1.5e-5));
        assert_eq!(found("2E2"), Some(200.0));
        // Too large, or no number.
        assert_eq!(found("1e999999999999"), None);
        assert_eq!(found("1e300"), None);
        assert_eq!(found("1e"), None);
        assert_eq!(offset(b"{}"), None);
        assert_eq!(offset(OFFSET), Some(0.0));
    }
}
