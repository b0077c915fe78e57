//! Reloading is one type: a value built from the contents of one file, or of several that belong together. The contents are
//! compared every ten seconds, whenever the value is refused, and on request.
//!
//! A bad new file keeps the old value: it is logged, counted and shown in `/status`, and the next good one heals it. A file system
//! that hangs keeps the old value as well, and costs one thread for each value, however often it is asked.

mod reads;
mod reloads;
mod source;
mod text;
mod value;

pub use reads::PATIENCE;
pub use reloads::Reloads;
pub use source::{Contents, Place, Source, read};
pub use text::OuterBlanks;
pub use value::{Parse, Reloading, Versioned};

#[cfg(test)]
mod tests;
