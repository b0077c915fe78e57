//! What a connection proves by itself: a certificate, the process at the other end of a Unix socket, an address that is one
//! caller's alone. What no entry names is no proof, and says nothing against one that is shown beside it.

use std::collections::HashMap;
use std::path::Path;

use super::presented::Sum;
use super::settings::{CallerProof, CertificateNamed, PeerProof, Settings};
use crate::finding::{Complaint, Findings};
use crate::listen::{Connection, Peer};
use crate::reload;

/// Whose connections are whose.
#[derive(Debug, Default)]
pub(super) struct Connected {
    spiffe_ids: HashMap<String, u16>,
    dns_names: HashMap<String, u16>,
    peers: Vec<(PeerProof, u16)>,
}

/// What stands for every id that has no counterpart in a user namespace: whoever has none is "nobody".
const NOBODY: u32 = 65_534;

/// Where the kernel says which ids stand for those.
const OVERFLOW: [&str; 2] = ["/proc/sys/kernel/overflowuid", "/proc/sys/kernel/overflowgid"];

// === impl Connected ===

impl Connected {
    pub(super) fn new(callers: &[Settings]) -> Self {
        let mut connected = Self::default();
        for (index, caller) in (0_u16..).zip(callers) {
            let named = |names: &[String]| names.iter().map(|name| (name.clone(), index)).collect::<Vec<_>>();
            match &caller.proof {
                CallerProof::Certificate(CertificateNamed::SpiffeIds(ids)) => connected.spiffe_ids.extend(named(ids)),
                CallerProof::Certificate(CertificateNamed::DnsNames(names)) => connected.dns_names.extend(named(names)),
                CallerProof::Peer(peer) => connected.peers.push((peer.clone(), index)),
                CallerProof::Token(_) | CallerProof::Jwt(_) | CallerProof::Listener(_) => {}
            }
        }
        connected
    }

    /// Adds every proof that a connection is.
    pub(super) fn add(&self, connection: &Connection, sum: &mut Sum) {
        // Whoever reaches it is that caller, whichever process it is.
        if let Some(owner) = connection.owner {
            return sum.add(Ok(owner));
        }
        if let Some(certificate) = &connection.certificate {
            let by_uri = certificate.uri().and_then(|uri| self.spiffe_ids.get(uri));
            let by_dns = certificate.dns_names().filter_map(|name| self.dns_names.get(name));
            by_uri.into_iter().chain(by_dns).for_each(|owner| sum.add(Ok(*owner)));
        }
        if let Peer::Unix { uid, gid, .. } = connection.peer {
            let peers = self.peers.iter().filter(|(peer, _)| peer.is(uid, gid));
            peers.for_each(|(_, owner)| sum.add(Ok(*owner)));
        }
    }
}

// === impl PeerProof ===

impl PeerProof {
    fn is(&self, uid: u32, gid: u32) -> bool {
        let same = |wanted: Option<u32>, found| wanted.is_none_or(|wanted| wanted == found);
        (self.uid.is_some() || self.gid.is_some()) && same(self.uid, uid) && same(self.gid, gid)
    }

    /// Whether every process that is this caller's is the other's, too.
    pub fn is_within(&self, other: &Self) -> bool {
        let within = |inner: Option<u32>, outer: Option<u32>| outer.is_none() || inner == outer;
        within(self.uid, other.uid) && within(self.gid, other.gid)
    }
}

/// Finds the ids that stand for everybody whom the kernel knows by none.
pub(super) fn check_peers(callers: &[Settings], findings: &mut Findings) {
    const REMEDY: &str = "run the caller under a user id (and a group id) of its own, and write that; in user namespaces map it";
    let said = OVERFLOW.map(|path| {
        let contents = reload::read(Path::new(path)).ok();
        contents.and_then(|contents| contents.text().ok()?.trim().parse().ok()).unwrap_or(NOBODY)
    });
    for caller in callers {
        let CallerProof::Peer(peer) = &caller.proof else { continue };
        for (member, id, overflow) in [("uid", peer.uid, said[0]), ("gid", peer.gid, said[1])] {
            if id.is_some_and(|id| id == NOBODY || id == overflow) {
                let reason = format!("this {member} stands for all processes that the kernel knows by no id here (`nobody`)");
                findings.error(peer.file.as_deref(), &format!("{}.{member}", peer.key), Complaint::new(reason, REMEDY));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::presented::{CallerError, Sum};
    use super::{Connected, PeerProof};
    use crate::listen::{Connection, Peer};

    fn peer(uid: Option<u32>, gid: Option<u32>) -> PeerProof {
        PeerProof { key: String::new(), file: None, uid, gid }
    }

    #[test]
    fn an_address_of_a_callers_own_says_all() {
        let peers = vec![(peer(Some(7), None), 1), (peer(None, Some(8)), 2), (peer(Some(6), None), 1)];
        let connected = Connected { peers, ..Connected::default() };
        let whose = |peer: Peer, owner| {
            let mut sum = Sum::default();
            connected.add(&Connection { owner, ..Connection::from(peer) }, &mut sum);
            sum.caller()
        };
        let unix = |uid, gid| Peer::Unix { uid, gid, pid: None };
        let tcp = Peer::Tcp { address: "127.0.0.1:5000".parse().unwrap(), listener: "127.0.0.1:1".parse().unwrap(), tls: true };
        assert_eq!(whose(unix(7, 9), None), Ok(1));
        assert_eq!(whose(unix(7, 8), None), Err(CallerError::Several));
        assert_eq!(whose(unix(5, 5), None), Err(CallerError::Missing));
        assert_eq!(whose(unix(7, 9), Some(3)), Ok(3));
        assert_eq!((whose(tcp, None), whose(tcp, Some(3))), (Err(CallerError::Missing), Ok(3)));
    }

    #[test]
    fn a_process_is_a_callers_by_all_that_is_given() {
        for (uid, gid, expected) in [
            (Some(7), None, [true, true, false]),
            (None, Some(8), [true, false, true]),
            (Some(7), Some(8), [true, false, false]),
            (None, None, [false; 3]),
        ] {
            let found = [(7, 8), (7, 9), (6, 8)].map(|(its_uid, its_gid)| peer(uid, gid).is(its_uid, its_gid));
            assert_eq!(found, expected, "{uid:?} {gid:?}");
        }
        let (user, group, both) = (peer(Some(7), None), peer(None, Some(8)), peer(Some(7), Some(8)));
        assert!(both.is_within(&user) && both.is_within(&group) && user.is_within(&user));
        assert!(!user.is_within(&both) && !user.is_within(&group) && !peer(Some(6), None).is_within(&user));
    }
}
