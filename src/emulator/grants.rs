//! What was issued and may come back: codes, device codes, refresh tokens, consents; and the assertions seen before.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::Serialize;
use serde_json::{Value, json};

use super::{call::Call, jose};

/// Refresh tokens that are remembered; beyond it the oldest are forgotten: a load test may run for hours.
const REFRESH_KEPT: usize = 200_000;
/// Sign-ins whose redemptions are remembered, and redemptions of each: beyond it the oldest sign-ins are forgotten, and further redemptions
/// are not noted.
const FAMILIES_KEPT: usize = 20_000;
const REDEMPTIONS_KEPT: usize = 1_000;
/// Codes, device codes and assertions of which the expired are swept out when there are more.
const SWEEP: usize = 4_096;

/// Somebody who signed in, at Entra or at a realm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Person {
    /// `oid`, or a realm's `sub`.
    pub(super) id: String,
    pub(super) username: String,
    pub(super) name: String,
    pub(super) email: String,
    /// The tenant's id; empty at a realm.
    pub(super) tenant: String,
    /// The flows that need more than a password.
    pub(super) mfa: Vec<String>,
    /// Gave more than a password.
    pub(super) strong: bool,
}

/// What a code or refresh token stands for.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) client_id: String,
    /// Where it was issued: a tenant's id, `adfs`, or `oidc/` and the realm.
    pub(super) place: String,
    pub(super) person: Person,
    /// As asked for.
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    /// This sign-in, and no other of the same person: what a realm's tokens have as `sid`.
    pub(super) sid: String,
}

/// What became of the refresh tokens of one sign-in.
#[derive(Debug, Serialize)]
struct Family {
    sid: String,
    client_id: String,
    username: String,
    redemptions: Vec<Redemption>,
}

/// That a rotating refresh token was sent.
#[derive(Debug, Serialize)]
struct Redemption {
    /// Unix seconds with milliseconds, by the emulator's clock.
    at: f64,
    /// It had been used before: the family was revoked for that, or had been already.
    reused: bool,
}

#[derive(Debug)]
pub(super) struct Code {
    pub(super) session: Session,
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<Challenge>,
    pub(super) expires: i64,
    pub(super) used: bool,
}

/// PKCE (RFC 7636).
#[derive(Debug, Clone)]
pub(super) struct Challenge {
    pub(super) value: String,
    pub(super) hashed: bool,
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) client_id: String,
    pub(super) place: Option<String>,
    pub(super) scope: String,
    pub(super) user_code: String,
    pub(super) expires: i64,
    pub(super) decision: Decision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Pending,
    Approved(Person),
    Denied,
    Redeemed,
}

#[derive(Debug)]
struct Refresh {
    session: Session,
    used: bool,
}

/// Why a code is not redeemed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeProblem {
    Unknown,
    Expired,
    Used,
    RedirectUri,
    Verifier,
}

/// Why a rotating refresh token is not redeemed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefreshProblem {
    Unknown,
    /// It was used before: whoever holds the newer one may be a thief, so the family ends.
    Reused,
    Revoked,
}

#[derive(Debug, Default)]
pub(super) struct Grants {
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
    refresh: HashMap<String, Refresh>,
    /// Oldest first.
    refresh_order: VecDeque<String>,
    revoked: HashSet<String>,
    families: HashMap<String, Family>,
    /// Oldest first.
    family_order: VecDeque<String>,
    consents: HashSet<(String, String, String)>,
    seen: HashMap<(String, String), i64>,
}

// === impl Grants ===

impl Grants {
    pub(super) fn add_code(&mut self, code: Code, now: i64) -> String {
        if self.codes.len() > SWEEP {
            self.codes.retain(|_, code| code.expires > now);
        }
        let text = format!("1.{}{}", jose::random(), jose::random());
        self.codes.insert(text.clone(), code);
        text
    }

    /// Redeems a code. Only a good redemption uses it up; another client's code is an unknown one.
    pub(super) fn redeem(
        &mut self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        now: i64,
    ) -> Result<Session, CodeProblem> {
        let code = self.codes.get_mut(code).filter(|code| code.session.client_id == client_id);
        let code = code.ok_or(CodeProblem::Unknown)?;
        if code.used {
            return Err(CodeProblem::Used);
        }
        if code.expires <= now {
            return Err(CodeProblem::Expired);
        }
        if code.redirect_uri != redirect_uri {
            return Err(CodeProblem::RedirectUri);
        }
        let proven = match (&code.challenge, verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => challenge.is_met_by(verifier),
            _ => false,
        };
        if !proven {
            return Err(CodeProblem::Verifier);
        }
        code.used = true;
        Ok(code.session.clone())
    }

    pub(super) fn add_refresh(&mut self, session: Session) -> String {
        let text = format!("1.{}{}{}", jose::random(), jose::random(), jose::random());
        self.refresh_order.push_back(text.clone());
        if self.refresh_order.len() > REFRESH_KEPT
            && let Some(oldest) = self.refresh_order.pop_front()
        {
            self.refresh.remove(&oldest);
        }
        self.refresh.insert(text.clone(), Refresh { session, used: false });
        text
    }

    /// Looks a reusable refresh token up, as Entra does.
    pub(super) fn session(&self, refresh_token: &str, client_id: &str) -> Option<Session> {
        let refresh = self.refresh.get(refresh_token)?;
        (refresh.session.client_id == client_id).then(|| refresh.session.clone())
    }

    /// Redeems a single-use refresh token; `next` is its successor.
    pub(super) fn rotate(&mut self, refresh_token: &str, client_id: &str, at: f64) -> Result<(Session, String), RefreshProblem> {
        let refresh = self.refresh.get_mut(refresh_token).filter(|refresh| refresh.session.client_id == client_id);
        let refresh = refresh.ok_or(RefreshProblem::Unknown)?;
        let (session, reused) = (refresh.session.clone(), std::mem::replace(&mut refresh.used, true));
        self.note(&session, Redemption { at, reused });
        // All refresh tokens that came of one sign-in are a family.
        if self.revoked.contains(&session.sid) {
            return Err(RefreshProblem::Revoked);
        }
        if reused {
            self.revoked.insert(session.sid);
            return Err(RefreshProblem::Reused);
        }
        let next = self.add_refresh(session.clone());
        Ok((session, next))
    }

    fn note(&mut self, session: &Session, redemption: Redemption) {
        if !self.families.contains_key(&session.sid) {
            let (client_id, username) = (session.client_id.clone(), session.person.username.clone());
            let family = Family { sid: session.sid.clone(), client_id, username, redemptions: Vec::new() };
            self.families.insert(session.sid.clone(), family);
            self.family_order.push_back(session.sid.clone());
            if self.family_order.len() > FAMILIES_KEPT
                && let Some(oldest) = self.family_order.pop_front()
            {
                self.families.remove(&oldest);
            }
        }
        if let Some(family) = self.families.get_mut(&session.sid)
            && family.redemptions.len() < REDEMPTIONS_KEPT
        {
            family.redemptions.push(redemption);
        }
    }

    /// The sign-ins of which a rotating refresh token was ever sent, oldest first.
    pub(super) fn families(&self) -> Value {
        json!(self.family_order.iter().filter_map(|sid| self.families.get(sid)).collect::<Vec<_>>())
    }

    pub(super) fn add_device(&mut self, device: Device, now: i64) -> String {
        if self.devices.len() > SWEEP {
            self.devices.retain(|_, device| device.expires > now);
        }
        let text = format!("1.{}", jose::random());
        self.devices.insert(text.clone(), device);
        text
    }

    pub(super) fn device(&mut self, device_code: &str) -> Option<&mut Device> {
        self.devices.get_mut(device_code)
    }

    /// Client and scope of the device that waits with this code.
    pub(super) fn pending(&self, user_code: &str) -> Option<(String, String)> {
        let waiting = self.devices.iter().find(|(device_code, device)| device.waits_for(device_code, user_code));
        waiting.map(|(_, device)| (device.client_id.clone(), device.scope.clone()))
    }

    /// Writes the user's decision; false if no such code waits for one.
    pub(super) fn decide(&mut self, user_code: &str, decision: Decision) -> bool {
        let found = self.devices.iter_mut().find(|(device_code, device)| device.waits_for(device_code, user_code));
        found.map(|(_, device)| device.decision = decision).is_some()
    }

    pub(super) fn consent(&mut self, client_id: &str, person: &Person, permission: &str) {
        self.consents.insert((client_id.to_owned(), person.id.clone(), permission.to_owned()));
    }

    pub(super) fn has_consented(&self, client_id: &str, person: &Person, permission: &str) -> bool {
        self.consents.contains(&(client_id.to_owned(), person.id.clone(), permission.to_owned()))
    }

    /// Notes an assertion's id; false if it was there before and had not expired.
    pub(super) fn first_use(&mut self, client_id: &str, jti: &str, expires: i64, now: i64) -> bool {
        if self.seen.len() > SWEEP {
            self.seen.retain(|_, until| *until >= now);
        }
        let before = self.seen.insert((client_id.to_owned(), jti.to_owned()), expires);
        before.is_none_or(|until| until < now)
    }

    /// The names of the user behind the code, device code or refresh token of a request.
    pub(super) fn users_of(&self, call: &Call) -> Vec<String> {
        let code = call.param("code").and_then(|code| self.codes.get(code)).map(|code| &code.session.person);
        let refresh = call.param("refresh_token").and_then(|token| self.refresh.get(token));
        let device = call.param("device_code").and_then(|code| self.devices.get(code));
        let device = device.and_then(|device| match &device.decision {
            Decision::Approved(person) => Some(person),
            _ => None,
        });
        let people = code.into_iter().chain(refresh.map(|refresh| &refresh.session.person)).chain(device);
        people.flat_map(|person| [person.username.clone(), person.id.clone()]).collect()
    }
}

// === impl Device ===

impl Device {
    /// Scripts may name the device code, which is all that a polling test has.
    fn waits_for(&self, device_code: &str, code: &str) -> bool {
        self.decision == Decision::Pending && (self.user_code.eq_ignore_ascii_case(code) || device_code == code)
    }
}

// === impl Challenge ===

impl Challenge {
    fn is_met_by(&self, verifier: &str) -> bool {
        if self.hashed { jose::encode(jose::sha256(verifier)) == self.value } else { verifier == self.value }
    }
}

#[cfg(test)]
mod tests {
    use super::{Challenge, Grants};

    #[test]
    fn the_example_of_rfc_7636() {
        let challenge = Challenge { value: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned(), hashed: true };
        assert!(challenge.is_met_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!challenge.is_met_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"));
    }

    #[test]
    fn a_jti_is_new_once() {
        let mut grants = Grants::default();
        assert!(grants.first_use("app", "1", 100, 0));
        assert!(!grants.first_use("app", "1", 100, 50));
        assert!(grants.first_use("other", "1", 100, 50));
        assert!(grants.first_use("app", "1", 200, 101));
    }
}
