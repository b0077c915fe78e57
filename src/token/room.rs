//! Whose room a token takes among those of its partition, so that whoever asks for many of them pushes out nobody else's.

use std::sync::atomic::{AtomicU32, Ordering};

/// Who asks for a token, and how: what tokens of one partition are told apart by when there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomTaker {
    user: u32,
    /// Whether nothing but scopes is asked for that its app does not always ask for.
    pub is_usual: bool,
}

/// Who uses a token that is in memory.
#[derive(Debug, Default)]
pub struct TokenUser {
    user: AtomicU32,
    is_usual: bool,
}

/// Nobody is known to use it.
const NOBODY: u32 = 0;
/// Several callers do: it is given away for none of them alone.
const SEVERAL: u32 = u32::MAX;

// === impl RoomTaker ===

impl RoomTaker {
    /// A caller by its number, if there are callers.
    pub fn new(caller: Option<usize>, is_usual: bool) -> Self {
        let number = caller.map_or(0, |caller| u32::try_from(caller).unwrap_or(SEVERAL - 3).saturating_add(1));
        Self { user: number.min(SEVERAL - 2) + 1, is_usual }
    }
}

// === impl TokenUser ===

impl TokenUser {
    /// A token that was asked for like this.
    pub fn of(taker: RoomTaker) -> Self {
        Self { user: AtomicU32::new(taker.user), is_usual: taker.is_usual }
    }

    /// Somebody is given it.
    pub fn used_by(&self, taker: RoomTaker) {
        let known = self.user.load(Ordering::Relaxed);
        if known != taker.user && known != SEVERAL {
            self.user.store(if known == NOBODY { taker.user } else { SEVERAL }, Ordering::Relaxed);
        }
    }

    /// It takes the place of an older one, whose users are its own.
    pub fn succeed(&self, old: &Self) {
        let (user, is_usual) = (old.user.load(Ordering::Relaxed), self.is_usual);
        if user != NOBODY {
            self.used_by(RoomTaker { user, is_usual });
        }
    }

    /// Whose room it takes.
    pub fn taker(&self) -> RoomTaker {
        RoomTaker { user: self.user.load(Ordering::Relaxed), is_usual: self.is_usual }
    }
}

impl Clone for TokenUser {
    fn clone(&self) -> Self {
        Self::of(self.taker())
    }
}

#[cfg(test)]
mod tests {
    use super::{RoomTaker, TokenUser};

    #[test]
    fn what_several_use_is_of_none_of_them() {
        let [one, other] = [0, 1].map(|caller| RoomTaker::new(Some(caller), true));
        let (token, nobodys) = (TokenUser::of(one), TokenUser::default());
        token.used_by(one);
        assert_eq!(token.taker(), one);
        token.used_by(other);
        let several = token.taker();
        assert!(several != one && several != other);
        token.used_by(one);
        assert_eq!((token.taker(), token.clone().taker()), (several, several));
        // One that follows it is theirs, too; one that nobody used changes nothing.
        let next = TokenUser::of(one);
        next.succeed(&nobodys);
        assert_eq!(next.taker(), one);
        next.succeed(&token);
        assert_eq!(next.taker(), several);
        assert_ne!(RoomTaker::new(None, true), one);
        assert_ne!(RoomTaker::new(Some(0), false), one);
    }
}
