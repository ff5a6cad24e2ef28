//! The rule by which open uploads give way to a new one, if the server has no room for both.
//!
//! The token that holds most gives way first, so that nobody keeps the others out; and nobody gains
//! room from those who hold less.

use std::time::Duration;

use bitx_store::Digest;
use uuid::Uuid;

/// An open upload, and the room that it holds: itself, or its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding {
    pub(crate) id: Uuid,
    /// The digest that stands for the token.
    pub(crate) owner: Digest,
    pub(crate) room: u64,
    /// The time since its last request; `None` if a request is at work, or if the upload cannot
    /// give way for another reason.
    pub(crate) idle: Option<Duration>,
}

/// The upload that gives way to a new one of `owner` that takes `room`: the one that is idle
/// longest of the token that holds most, if that is more than `owner` would hold; otherwise one of
/// `owner` itself that is idle for `patience` at least.
pub(crate) fn gives_way(holdings: &[Holding], owner: Digest, room: u64, patience: Duration) -> Option<Uuid> {
    let own = |owner: Digest| holdings.iter().filter(move |held| held.owner == owner).map(|held| held.room);
    let held = |owner: Digest| own(owner).fold(0, u64::saturating_add);
    let most = holdings.iter().map(|holding| holding.owner).max_by_key(|&other| held(other))?;
    let (from, patience) = if most != owner && held(most) > held(owner).saturating_add(room) {
        (most, Duration::ZERO)
    } else {
        (owner, patience)
    };
    let idle = |held: &&Holding| held.owner == from && held.room > 0 && held.idle.is_some_and(|idle| idle >= patience);
    holdings.iter().filter(idle).max_by_key(|held| held.idle).map(|held| held.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn owner(number: u8) -> Digest {
        Digest::of(&[number])
    }

    fn holding(id: u128, number: u8, room: u64, idle: Option<u64>) -> Holding {
        Holding { id: Uuid::from_u128(id), owner: owner(number), room, idle: idle.map(Duration::from_secs) }
    }

    fn chosen(holdings: &[Holding], number: u8, room: u64) -> Option<u128> {
        gives_way(holdings, owner(number), room, PATIENCE).map(|id| id.as_u128())
    }

    #[test]
    fn the_token_that_holds_most_gives_way() {
        let all =
            [holding(1, 7, 1, Some(1)), holding(2, 7, 1, Some(5)), holding(3, 7, 1, None), holding(4, 8, 1, Some(9))];
        assert_eq!(chosen(&all, 9, 1), Some(2));
        assert_eq!(chosen(&all, 8, 1), Some(2));
        assert_eq!(chosen(&all, 8, 2), None, "it would hold as much");
        assert_eq!(chosen(&all[2..3], 9, 0), None, "a request is at work");
    }

    #[test]
    fn ones_own_uploads_give_way_once_they_are_idle() {
        let all = [
            holding(1, 7, 4, Some(29)),
            holding(2, 7, 4, Some(31)),
            holding(3, 7, 0, Some(99)),
            holding(4, 8, 5, Some(99)),
        ];
        assert_eq!(chosen(&all, 7, 1), Some(2));
        assert_eq!(chosen(&all[..1], 7, 1), None);
        assert_eq!(chosen(&all, 8, 9), Some(4));
        assert_eq!(chosen(&[], 7, 1), None);
    }
}
