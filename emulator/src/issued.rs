//! What was issued and may come back: codes, device codes, refresh tokens, consents; and the assertions seen before.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{call::Call, jose};

/// Refresh tokens that are remembered; beyond it the oldest are forgotten: a load test may run for hours.
const REFRESH_KEPT: usize = 200_000;
/// Sign-ins whose redemptions are remembered, and redemptions of each: beyond it the oldest sign-ins are forgotten, and further
/// redemptions are not noted.
const FAMILIES_KEPT: usize = 20_000;
const REDEMPTIONS_KEPT: usize = 1_000;
/// Codes, device codes and assertions of which the expired are swept out when there are more.
const SWEEP: usize = 4_096;

/// Somebody who signed in, at Entra or at a realm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// `oid`, or a realm's `sub`.
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) email: String,
    /// The tenant's id; empty at a realm.
    pub(crate) tenant: String,
    /// The flows that need more than a password.
    pub(crate) mfa: Vec<String>,
    /// Gave more than a password.
    pub(crate) strong: bool,
}

/// What a code or refresh token stands for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    pub(crate) client_id: String,
    /// Where it was issued: a tenant's id, `adfs`, `b2c/` with tenant and policy, or `oidc/` and the realm.
    pub(crate) place: String,
    pub(crate) person: Person,
    /// As asked for.
    pub(crate) scope: String,
    pub(crate) nonce: Option<String>,
    /// This sign-in, and no other of the same person: what a realm's tokens have as `sid`.
    pub(crate) sid: String,
    /// The client got it without proving itself.
    pub(crate) public: bool,
    /// Its answers name nobody: they have no id token and no `client_info`.
    pub(crate) bare: bool,
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
pub(crate) struct Code {
    pub(crate) session: Session,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) expires: i64,
    pub(crate) used: bool,
}

/// PKCE (RFC 7636).
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    pub(crate) value: String,
    pub(crate) hashed: bool,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) client_id: String,
    pub(crate) place: Option<String>,
    pub(crate) scope: String,
    pub(crate) user_code: String,
    pub(crate) expires: i64,
    /// Seconds between two questions; none where nobody minds.
    pub(crate) interval: Option<i64>,
    /// When it asked last.
    pub(crate) asked: Option<i64>,
    pub(crate) decision: Decision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
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
pub(crate) enum CodeProblem {
    Unknown,
    Expired,
    Used,
    RedirectUri,
    Verifier,
}

/// Why a rotating refresh token is not redeemed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshProblem {
    Unknown,
    /// It was used before: whoever holds the newer one may be a thief, so the family ends.
    Reused,
    Revoked,
}

#[derive(Debug, Default)]
pub(crate) struct Issued {
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
    /// Authorization requests that were pushed, and when they end.
    pushed: HashMap<String, (Vec<(String, String)>, i64)>,
}

// === impl Issued ===

impl Issued {
    /// Keeps an authorization request until it ends.
    pub(crate) fn push(&mut self, name: String, fields: Vec<(String, String)>, expires: i64) {
        if self.pushed.len() > SWEEP {
            self.pushed.clear();
        }
        self.pushed.insert(name, (fields, expires));
    }

    /// An authorization request that was pushed and has not ended.
    pub(crate) fn pushed(&self, name: &str, now: i64) -> Option<Vec<(String, String)>> {
        self.pushed.get(name).filter(|(_, expires)| *expires > now).map(|(fields, _)| fields.clone())
    }

    pub(crate) fn add_code(&mut self, code: Code, now: i64) -> String {
        if self.codes.len() > SWEEP {
            self.codes.retain(|_, code| code.expires > now);
        }
        let text = format!("1.{}{}", jose::random(), jose::random());
        self.codes.insert(text.clone(), code);
        text
    }

    /// Redeems a code. Only a good redemption uses it up; another client's code is an unknown one.
    pub(crate) fn redeem(
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

    pub(crate) fn add_refresh(&mut self, session: Session) -> String {
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
    pub(crate) fn session(&self, refresh_token: &str, client_id: &str) -> Option<Session> {
        let refresh = self.refresh.get(refresh_token)?;
        (refresh.session.client_id == client_id).then(|| refresh.session.clone())
    }

    /// Redeems a single-use refresh token; `next` is its successor.
    pub(crate) fn rotate(&mut self, refresh_token: &str, client_id: &str, at: f64) -> Result<(Session, String), RefreshProblem> {
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

    /// The session of a rotating refresh token that may still be used.
    pub(crate) fn live(&self, refresh_token: &str, client_id: &str) -> Option<Session> {
        let refresh = self.refresh.get(refresh_token).filter(|refresh| refresh.session.client_id == client_id && !refresh.used)?;
        (!self.revoked.contains(&refresh.session.sid)).then(|| refresh.session.clone())
    }

    /// Ends a sign-in by its `sid`, or an access token by its `jti`.
    pub(crate) fn revoke(&mut self, id: &str) {
        if !id.is_empty() {
            self.revoked.insert(id.to_owned());
        }
    }

    /// Ends all sign-ins of a person at a client, at one place.
    pub(crate) fn revoke_all(&mut self, client_id: &str, place: &str, person_id: &str) {
        let sessions = self.refresh.values().map(|refresh| &refresh.session);
        let theirs = sessions.filter(|one| one.client_id == client_id && one.place == place && one.person.id == person_id);
        let sids: Vec<String> = theirs.map(|one| one.sid.clone()).collect();
        self.revoked.extend(sids);
    }

    /// Whether any of these was revoked.
    pub(crate) fn is_revoked(&self, ids: &[&str]) -> bool {
        ids.iter().any(|id| self.revoked.contains(*id))
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
    pub(crate) fn families(&self) -> Value {
        json!(self.family_order.iter().filter_map(|sid| self.families.get(sid)).collect::<Vec<_>>())
    }

    pub(crate) fn add_device(&mut self, device: Device, now: i64) -> String {
        if self.devices.len() > SWEEP {
            self.devices.retain(|_, device| device.expires > now);
        }
        let text = format!("1.{}", jose::random());
        self.devices.insert(text.clone(), device);
        text
    }

    pub(crate) fn device(&mut self, device_code: &str) -> Option<&mut Device> {
        self.devices.get_mut(device_code)
    }

    /// Client and scope of the device that waits with this code.
    pub(crate) fn pending(&self, user_code: &str) -> Option<(String, String)> {
        let waiting = self.devices.iter().find(|(device_code, device)| device.waits_for(device_code, user_code));
        waiting.map(|(_, device)| (device.client_id.clone(), device.scope.clone()))
    }

    /// Writes the user's decision; false if no such code waits for one.
    pub(crate) fn decide(&mut self, user_code: &str, decision: Decision) -> bool {
        let found = self.devices.iter_mut().find(|(device_code, device)| device.waits_for(device_code, user_code));
        found.map(|(_, device)| device.decision = decision).is_some()
    }

    pub(crate) fn consent(&mut self, client_id: &str, person: &Person, permission: &str) {
        self.consents.insert((client_id.to_owned(), person.id.clone(), permission.to_owned()));
    }

    pub(crate) fn has_consented(&self, client_id: &str, person: &Person, permission: &str) -> bool {
        self.consents.contains(&(client_id.to_owned(), person.id.clone(), permission.to_owned()))
    }

    /// Notes an assertion's id; false if it was there before and had not expired.
    pub(crate) fn first_use(&mut self, client_id: &str, jti: &str, expires: i64, now: i64) -> bool {
        if self.seen.len() > SWEEP {
            self.seen.retain(|_, until| *until >= now);
        }
        let before = self.seen.insert((client_id.to_owned(), jti.to_owned()), expires);
        before.is_none_or(|until| until < now)
    }

    /// The names of the user behind the code, device code or refresh token of a request.
    pub(crate) fn users_of(&self, call: &Call) -> Vec<String> {
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
    /// Notes a question. One that comes too early makes all further ones wait five seconds longer (RFC 8628 §3.5).
    pub(crate) fn ask(&mut self, now: i64) -> bool {
        let early = self.interval.zip(self.asked).is_some_and(|(interval, asked)| now - asked < interval);
        if early {
            self.interval = self.interval.map(|interval| interval + 5);
        }
        self.asked = Some(now);
        !early
    }

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
    use super::{Challenge, Issued};

    #[test]
    fn the_example_of_rfc_7636() {
        let challenge = Challenge { value: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned(), hashed: true };
        assert!(challenge.is_met_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!challenge.is_met_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"));
    }

    #[test]
    fn a_jti_is_new_once() {
        let mut issued = Issued::default();
        assert!(issued.first_use("app", "1", 100, 0));
        assert!(!issued.first_use("app", "1", 100, 50));
        assert!(issued.first_use("other", "1", 100, 50));
        assert!(issued.first_use("app", "1", 200, 101));
    }
}
