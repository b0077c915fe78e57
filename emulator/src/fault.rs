//! A refusal, and how the two kinds of authority spell it.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::{aadsts, answer::Answer, call::Call, time, world::World};

/// Why a request is refused. Boxed where it travels, because the good case is the common one.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) error: String,
    pub(crate) text: String,
    /// The number behind `AADSTS`; none at a realm.
    pub(crate) code: Option<u32>,
    pub(crate) suberror: Option<String>,
    pub(crate) claims: Option<String>,
    pub(crate) error_codes: Option<Vec<u32>>,
    pub(crate) headers: Vec<(String, String)>,
}

pub(crate) type Outcome<T> = Result<T, Box<Fault>>;

// === impl Fault ===

impl Fault {
    /// A plain OAuth error, as a realm gives.
    pub(crate) fn plain(error: &str, text: impl Into<String>) -> Box<Self> {
        let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        Box::new(Self {
            status,
            error: error.to_owned(),
            text: text.into(),
            code: None,
            suberror: None,
            claims: None,
            error_codes: None,
            headers: Vec::new(),
        })
    }

    /// An error of Entra's, with what the table knows about it.
    pub(crate) fn aadsts(code: u32) -> Box<Self> {
        let row = aadsts::row(code);
        let mut fault = Self::plain(row.error, row.text);
        fault.status = row.status();
        fault.code = Some(code);
        fault.suberror = row.suberror.map(str::to_owned);
        fault.claims = row.claims.map(str::to_owned);
        fault
    }

    /// An error of Entra's with a text that says what is wrong this time.
    pub(crate) fn says(code: u32, text: impl Into<String>) -> Box<Self> {
        let mut fault = Self::aadsts(code);
        fault.text = text.into();
        fault
    }

    /// The description alone, as the authorize endpoint puts it in a redirect.
    pub(crate) fn description(&self, world: &World, call: &Call) -> String {
        match self.code {
            None => self.text.clone(),
            Some(code) => format!(
                "AADSTS{code}: {} Trace ID: {} Correlation ID: {} Timestamp: {}",
                self.text,
                call.trace_id,
                call.correlation_id,
                time::stamp(world.now())
            ),
        }
    }

    /// The error body. Entra's extra members come with an AADSTS number or in Entra's places.
    pub(crate) fn answer(&self, world: &World, call: &Call, entra: bool) -> Answer {
        let mut body = Map::new();
        body.insert("error".to_owned(), json!(self.error));
        body.insert("error_description".to_owned(), json!(self.description(world, call)));
        if entra || self.code.is_some() {
            let codes = self.error_codes.clone().unwrap_or_else(|| self.code.into_iter().collect());
            body.insert("error_codes".to_owned(), json!(codes));
            body.insert("timestamp".to_owned(), json!(time::stamp(world.now())));
            body.insert("trace_id".to_owned(), json!(call.trace_id));
            body.insert("correlation_id".to_owned(), json!(call.correlation_id));
            if let Some(code) = codes.first() {
                body.insert("error_uri".to_owned(), json!(format!("{}/error?code={code}", world.origin)));
            }
        }
        for (name, value) in [("suberror", &self.suberror), ("claims", &self.claims)] {
            if let Some(value) = value {
                body.insert(name.to_owned(), json!(value));
            }
        }
        let mut answer = Answer::json(self.status, Value::Object(body));
        for (name, value) in &self.headers {
            answer = answer.header(name, value);
        }
        answer
    }
}
