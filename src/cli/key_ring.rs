//! `tokend key-ring`: keys for the level that replicas share, from the machine's randomness.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use zeroize::Zeroizing;

/// Which keys to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum KeyRing {
    /// Print a new key ring, for a secret that every replica reads
    New,
    /// Print one further line for a key ring, to rotate its keys
    Add,
}

/// How a ring is used, where its operator finds it.
const ABOUT: &str = "\
# A key ring of tokend: a secret, the same for every replica. `name` names what is stored and is never rotated: under
# another one nothing that is stored would be found. Of the other keys the first seals what is stored, and all open it.
# To rotate, in three edits: append what `tokend key-ring add` prints; when tokend_key_ring_key{kid} shows it on every
# replica, move it above the old one; when tokend_key_ring_reads_total{kid} of the old one stands still, remove that.
# A sign-in is sealed anew when it is renewed: keep the old key for as long as users may be away and still signed in.
";

/// What to print; `None`: the machine has no randomness.
pub(super) fn text(what: KeyRing) -> Option<Zeroizing<String>> {
    let further = further()?;
    Some(match what {
        KeyRing::Add => further,
        KeyRing::New => {
            let name = line("name")?;
            let mut text = Zeroizing::new(String::with_capacity(ABOUT.len() + name.len() + further.len()));
            [ABOUT, &name, &further].iter().for_each(|part| text.push_str(part));
            text
        }
    })
}

/// A line with an id that no other line has.
fn further() -> Option<Zeroizing<String>> {
    let mut id = [0; 4];
    rand::fill(&mut id).ok()?;
    line(&format!("k{:08x}", u32::from_be_bytes(id)))
}

fn line(id: &str) -> Option<Zeroizing<String>> {
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice()).ok()?;
    let key = Zeroizing::new(STANDARD.encode(key.as_slice()));
    let mut line = Zeroizing::new(String::with_capacity(id.len() + key.len() + 2));
    [id, ":", &key, "\n"].iter().for_each(|part| line.push_str(part));
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::cli::KeyRing;
    use crate::store;

    /// The ids and the keys that a text has.
    fn keys(text: &str) -> Vec<(&str, &str)> {
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':')).collect()
    }

    #[test]
    fn what_is_printed_is_a_ring_and_can_grow() {
        let (ring, further) = (text(KeyRing::New).unwrap(), text(KeyRing::Add).unwrap());
        assert!(store::KeyRing::parse(ring.as_bytes()).is_ok());
        assert!(store::KeyRing::parse(format!("{}{}", *ring, *further).as_bytes()).is_ok());
        assert!(store::KeyRing::parse(further.as_bytes()).is_err());
    }

    #[test]
    fn every_ring_and_every_key_is_another() {
        let (one, two, further) = (text(KeyRing::New).unwrap(), text(KeyRing::New).unwrap(), text(KeyRing::Add).unwrap());
        let (one, two, further) = (keys(&one), keys(&two), keys(&further));
        let [("name", _), (id, _)] = one.as_slice() else { panic!("a name and a key") };
        assert!(id.len() == 9 && id.starts_with('k'));
        let all: std::collections::BTreeSet<_> = [&one, &two, &further].into_iter().flatten().map(|(_, key)| *key).collect();
        assert_eq!((all.len(), further.len()), (5, 1));
        assert!(all.iter().all(|key| key.len() == 44 && key.ends_with('=')));
    }
}
