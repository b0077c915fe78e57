//! The answers that a script gives in the place of the real ones.

use hyper::StatusCode;
use serde_json::{Map, Value};

use crate::{
    answer::Answer,
    call::{Call, Place},
    fault::Fault,
    script::{Effects, ErrorBody, Raw, Throttle},
    world::World,
};

/// The answer that stands in for the real one, if any does.
pub(crate) fn of(effects: &Effects, world: &World, call: &Call) -> Option<Answer> {
    if let Some(raw) = &effects.raw {
        return Some(raw.answer());
    }
    let fault = if let Some(code) = effects.aadsts {
        Fault::aadsts(code)
    } else if let Some(body) = &effects.error {
        body.fault()
    } else {
        effects.throttle.as_ref()?.fault()
    };
    let entra = !matches!(call.place, Place::Realm(_));
    Some(fault.answer(world, call, entra))
}

// === impl ErrorBody, Raw, Throttle ===

impl ErrorBody {
    fn fault(&self) -> Box<Fault> {
        let mut fault = Fault::plain(&self.error, &self.error_description);
        fault.status = status(self.status);
        fault.suberror.clone_from(&self.suberror);
        fault.error_codes.clone_from(&self.error_codes);
        fault.claims = self.claims.as_ref().map(plain);
        fault.headers = pairs(&self.headers);
        fault
    }
}

impl Raw {
    fn answer(&self) -> Answer {
        let body = if self.body.is_null() { String::new() } else { plain(&self.body) };
        let answer = Answer::bytes(status(self.status), body);
        pairs(&self.headers).iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    }
}

impl Throttle {
    fn fault(&self) -> Box<Fault> {
        let mut fault = Fault::aadsts(if self.status == 429 { 90055 } else { 90033 });
        fault.status = status(self.status);
        fault.headers.extend(self.retry_after.clone().map(|value| ("retry-after".to_owned(), value)));
        fault
    }
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn pairs(members: &Map<String, Value>) -> Vec<(String, String)> {
    members.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}
