//! What every device flow has (RFC 8628): the code that a user types, how long it waits, and what became of it.

use crate::{
    issued::{Decision, Device, Session},
    jose,
    world::World,
};

/// Seconds that a device waits for its user.
pub(crate) const LIFETIME: i64 = 900;
/// Letters that nobody mistakes for others.
const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Both codes of a device that began to wait.
pub(crate) struct Codes {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

/// A device of this client waits, at the place that it asked or, if that is none, at the user's. With an interval, its questions
/// may come no faster.
pub(crate) fn begin(world: &World, client_id: &str, place: Option<String>, scope: &str, interval: Option<i64>) -> Codes {
    let (now, user_code) = (world.now(), user_code());
    let device = Device {
        client_id: client_id.to_owned(),
        place,
        scope: scope.to_owned(),
        user_code: user_code.clone(),
        expires: now + LIFETIME,
        interval,
        asked: None,
        decision: Decision::Pending,
    };
    Codes { device_code: world.issued().add_device(device, now), user_code }
}

fn user_code() -> String {
    let letter = |byte: u8| LETTERS.get(usize::from(byte) % LETTERS.len()).copied().map_or('B', char::from);
    rand::random::<[u8; 9]>().map(letter).into_iter().collect()
}

/// Why a device gets no tokens now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceProblem {
    Unknown,
    Expired,
    Pending,
    /// It waits, and asked before its interval was over.
    Early,
    Denied,
    Redeemed,
}

/// One question of a device. The first after the user agreed uses the code up.
pub(crate) fn redeem(world: &World, device_code: &str, client_id: &str) -> Result<Session, DeviceProblem> {
    let now = world.now();
    let mut issued = world.issued();
    let device = issued.device(device_code).filter(|device| device.client_id == client_id).ok_or(DeviceProblem::Unknown)?;
    if device.expires <= now {
        return Err(DeviceProblem::Expired);
    }
    let person = match device.decision.clone() {
        Decision::Pending if device.ask(now) => return Err(DeviceProblem::Pending),
        Decision::Pending => return Err(DeviceProblem::Early),
        Decision::Denied => return Err(DeviceProblem::Denied),
        Decision::Redeemed => return Err(DeviceProblem::Redeemed),
        Decision::Approved(person) => person,
    };
    device.decision = Decision::Redeemed;
    Ok(Session {
        client_id: device.client_id.clone(),
        place: device.place.clone().unwrap_or_else(|| person.tenant.clone()),
        person,
        scope: device.scope.clone(),
        sid: jose::random(),
        ..Session::default()
    })
}
