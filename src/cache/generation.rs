//! In which order what stands under one name was stored: generations count that, and of one lineage the lower one is the ancestor.

/// How many bits of a generation renewals count in, above which new sign-ins do.
const RENEWALS: u32 = 20;

/// The generation after the one that was read. The first one is random: after a loss of everything it must not be one of before.
pub(super) fn next_generation(base: Option<u64>) -> u64 {
    base.map_or_else(|| rand::random::<u64>() >> 16 | 1, |base| base.wrapping_add(1))
}

/// The generation of a new sign-in. It is above all that renewals of the one before come to, and has room for half a million
/// renewals of its own. Another new sign-in over the same one gets another number. So of one lineage the lower generation is the
/// ancestor.
pub(super) fn next_sign_in(base: Option<u64>) -> u64 {
    let Some(base) = base else { return next_generation(None) };
    let above = (base >> RENEWALS).saturating_add(1).min(u64::MAX >> RENEWALS);
    (above << RENEWALS) | (rand::random::<u64>() >> (u64::BITS - RENEWALS + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{next_generation, next_sign_in};

    proptest! {
        #[test]
        fn a_new_sign_in_stands_above_all_renewals_of_the_one_before(first in 1..u64::MAX >> 8, renewals in 0_u64..500_000) {
            let before = next_sign_in(Some(first));
            let renewed = before + renewals;
            let after = next_sign_in(Some(before));
            prop_assert!(first < before && renewed < after, "{first:x} {renewed:x} {after:x}");
            prop_assert!(renewed < next_sign_in(Some(renewed)));
            prop_assert_eq!(next_generation(Some(renewed)), renewed + 1);
        }
    }

    #[test]
    fn the_first_generation_is_any_and_leaves_room_for_more() {
        for _ in 0..1000 {
            assert!((1..1 << 48).contains(&next_generation(None)));
        }
    }
}
