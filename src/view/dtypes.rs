//! The dtypes whose words a view may give to words of others, and how many it takes.

use crate::cast::can_cast;
use crate::chunk::is_integer;
use crate::layout::Dtype;
use crate::quant::weights_per_unit;

/// Returns true for the dtypes that may be quantised weights.
pub(super) fn may_give_weights(dtype: Dtype) -> bool {
    dtype.is_scaled() || is_integer(dtype)
}

/// Returns true if a view of a region of the dtype `to` may take words of the dtype `from`: its
/// own, those that a cast knows, and for blocks and integers all whose weights fill them evenly.
pub(crate) fn can_view(from: Dtype, to: Dtype) -> bool {
    let fills = weights_per_unit(to).is_multiple_of(weights_per_unit(from));
    let has_weights = from.is_scaled() || can_cast(from, Dtype::F32);
    from == to || can_cast(from, to) || may_give_weights(to) && has_weights && fills || dequantises(from, to)
}

/// Returns true if words of the dtype `to` may be weights of blocks of the dtype `from`.
pub(crate) fn dequantises(from: Dtype, to: Dtype) -> bool {
    from.is_scaled() && can_cast(to, Dtype::F32)
}

/// The number of units of the dtype `from` whose weights fill `units` of the dtype `to`.
pub(crate) fn origin_units(units: u64, from: Dtype, to: Dtype) -> u64 {
    units.saturating_mul(weights_per_unit(to)).div_ceil(weights_per_unit(from))
}
