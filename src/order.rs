//! Sorting, once: generic sorts are large, and wasm is paid for by the byte.

/// The indices of `keys` in ascending order of key; equal keys keep their order.
pub(crate) fn ascending(keys: impl Iterator<Item = (u64, u64)>) -> Vec<usize> {
    let mut order: Vec<(u64, u64, usize)> = keys.enumerate().map(|(i, (major, minor))| (major, minor, i)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, i)| i).collect()
}

/// `items` in ascending order of `key`; items of equal keys keep their order.
pub(crate) fn sorted<T>(items: Vec<T>, key: impl Fn(&T) -> (u64, u64)) -> Vec<T> {
    let order = ascending(items.iter().map(key));
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.into_iter().filter_map(|i| items[i].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_keep_their_order() {
        let items = vec![(3, 'a'), (1, 'b'), (3, 'c'), (1, 'd')];
        assert_eq!(sorted(items, |item| (item.0, 0)), [(1, 'b'), (1, 'd'), (3, 'a'), (3, 'c')]);
    }
}
