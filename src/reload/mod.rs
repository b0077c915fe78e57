//! Reloading is one type: a value built from the contents of a file, or of several that belong together, compared by content every ten
//! seconds, whenever it is refused, and whenever that is asked for.
//!
//! A bad new file keeps the old value: it is logged, counted and shown in `/status`, and the next good one heals it. A file system that
//! hangs keeps the old value as well, and takes one thread for each value, whoever asks for it and how often.

mod reads;
mod reloads;
mod source;
mod value;

pub use reads::PATIENCE;
pub use reloads::Reloads;
pub use source::{Contents, Place, Source, read};
pub use value::{Parse, Reloading, Versioned};

#[cfg(test)]
mod tests;
