//! Descriptors that are kept for a listener. Where the process has used up all it may have open, nothing can be accepted: a
//! listener that has to answer all the same gives one of these up, and gets it back when the connection is over.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What `accept` says where this process, or the whole machine, has no descriptor left (EMFILE, ENFILE).
const NONE_LEFT: [i32; 2] = [24, 23];

/// Descriptors that nothing else is done with.
#[derive(Debug)]
pub(super) struct Spares {
    // A socket that is bound to nothing: it costs a descriptor, and needs no file.
    kept: Mutex<Vec<UnixDatagram>>,
    most: usize,
}

// === impl Spares ===

impl Spares {
    /// Keeps so many, as far as there are any.
    pub(super) fn new(most: usize) -> Self {
        let this = Self { kept: Mutex::default(), most };
        this.refill();
        this
    }

    /// After an accept that failed: gives one up, if that is what was wanted. Returns whether it makes sense to try again at once.
    pub(super) fn give_up(&self, error: &io::Error) -> bool {
        error.raw_os_error().is_some_and(|code| NONE_LEFT.contains(&code)) && self.lock().pop().is_some()
    }

    /// Takes back what was given up, as far as it is free.
    pub(super) fn refill(&self) {
        let mut kept = self.lock();
        while kept.len() < self.most
            && let Ok(spare) = UnixDatagram::unbound()
        {
            kept.push(spare);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<UnixDatagram>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Spares;

    #[test]
    fn one_is_given_up_for_want_of_descriptors_and_for_nothing_else() {
        let spares = Spares::new(2);
        assert!(!spares.give_up(&io::Error::from(io::ErrorKind::ConnectionAborted)));
        let (process, machine) = (io::Error::from_raw_os_error(24), io::Error::from_raw_os_error(23));
        assert!(spares.give_up(&process) && spares.give_up(&machine) && !spares.give_up(&process));
        spares.refill();
        assert!(spares.give_up(&process));
        assert!(!Spares::new(0).give_up(&process));
    }
}
