//! The leaves of a configuration: texts, lists, and everything that has a string form, because the environment has nothing else.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, SeqAccess, Unexpected, Visitor};

use super::node::Node;
use super::text;
use crate::authority::{AssertionAudience, AuthorityKind};
use crate::caller::AccountRights;
use crate::credential::{SecretMethod, SigningAlgorithm};
use crate::flow::{ApiIdentity, DeviceClient, RefreshTokens, SessionAsk};
use crate::listen::ClientCertificates;
use crate::telemetry::{Format, Level};

/// A text. A bare number is refused: YAML has already changed `0012` into 12.
pub(super) struct Text(pub(super) String);

/// Texts; one alone needs no brackets. `None` stands where an entry was refused, so that the others keep their numbers.
#[derive(Default)]
pub(super) struct List(pub(super) Vec<Option<String>>);

/// A value that may also come as the text of itself.
pub(super) struct Scalar<T>(pub(super) T);

/// A value of a key that this version does not have yet: present, and that is all that is looked at.
pub(super) struct Later;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// The mode of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

/// Who is answered at the routes without a user, where there are no callers: whoever reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unauthenticated;

/// How a [`Scalar`] is read.
pub(super) trait Form: Sized {
    /// What it is, `|`, and how to write it.
    const EXPECTED: &'static str;
    /// Reads its text.
    fn text(text: &str) -> Option<Self>;
    /// Reads a bare number, where it may be one.
    fn number(_: u64) -> Option<Self> {
        None
    }
}

struct TextVisitor;
struct ListVisitor;
struct ScalarVisitor<T>(PhantomData<T>);

// === impl Form ===

impl Form for bool {
    const EXPECTED: &'static str = "a switch|write true or false";

    fn text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Form for u64 {
    const EXPECTED: &'static str = "a whole number|write digits only";

    fn text(text: &str) -> Option<Self> {
        digits(text)?.parse().ok()
    }

    fn number(number: u64) -> Option<Self> {
        Some(number)
    }
}

impl Form for f64 {
    const EXPECTED: &'static str = "a number|write a number such as 0.05";

    fn text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn number(number: u64) -> Option<Self> {
        u32::try_from(number).ok().map(Self::from)
    }
}

impl Form for Duration {
    const EXPECTED: &'static str = "a duration|write a whole number with its unit: 50ms, 8s, 2m or 1h";

    fn text(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        match unit {
            "ms" => Some(Self::from_millis(number)),
            "s" => Some(Self::from_secs(number)),
            "m" => number.checked_mul(60).map(Self::from_secs),
            "h" => number.checked_mul(3600).map(Self::from_secs),
            "" => Self::number(number),
            _ => None,
        }
    }

    // Nothing is nothing in every unit; any other bare number would leave the unit to be guessed.
    fn number(number: u64) -> Option<Self> {
        (number == 0).then_some(Self::ZERO)
    }
}

impl Form for Size {
    const EXPECTED: &'static str = "a size|write a whole number of bytes, or one with its unit: 256KiB, 64MiB or 1GiB";

    fn text(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let unit = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(unit).map(Self)
    }

    fn number(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

impl Form for Mode {
    const EXPECTED: &'static str = "a file mode that lets the owner read and write|write octal digits, as for chmod: 0660";

    // YAML hands over `0660` as the number 660: its digits are the octal text, and are read as such. A number that was octal
    // already (`0o660`, which is 432) fails the test for the owner's rights, so that it cannot become a mode that nobody meant.
    fn text(text: &str) -> Option<Self> {
        let mode = u32::from_str_radix(digits(text.strip_prefix("0o").unwrap_or(text))?, 8).ok()?;
        (mode <= 0o777 && mode & 0o600 == 0o600).then_some(Self(mode))
    }

    fn number(number: u64) -> Option<Self> {
        Self::text(&number.to_string())
    }
}

impl Form for Level {
    const EXPECTED: &'static str = "a log level|write error, warn, info, debug or trace";

    fn text(text: &str) -> Option<Self> {
        Some(match text {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return None,
        })
    }
}

impl Form for Format {
    const EXPECTED: &'static str = "a log format|write json or text";

    fn text(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

impl Form for AuthorityKind {
    const EXPECTED: &'static str = "a kind of authority|write entra, ciam, b2c or adfs, or leave it out where the URL says it";

    fn text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, kind)| kind)
    }
}

impl Form for AssertionAudience {
    const EXPECTED: &'static str = "an audience of client assertions|write issuer or token_endpoint";

    fn text(text: &str) -> Option<Self> {
        match text {
            "issuer" => Some(Self::Issuer),
            "token_endpoint" => Some(Self::TokenEndpoint),
            _ => None,
        }
    }
}

impl Form for SecretMethod {
    const EXPECTED: &'static str = "where a client secret stands|write basic for the header, or post for the form";

    fn text(text: &str) -> Option<Self> {
        match text {
            "basic" => Some(Self::Basic),
            "post" => Some(Self::Post),
            _ => None,
        }
    }
}

impl Form for SigningAlgorithm {
    const EXPECTED: &'static str = "an algorithm that assertions are signed by|write RS256, PS256, ES256, one of these with 384 or 512, or \
                                    EdDSA";

    fn text(text: &str) -> Option<Self> {
        Self::named(text)
    }
}

impl Form for RefreshTokens {
    const EXPECTED: &'static str = "what becomes of used refresh tokens|write single_use or reusable";

    fn text(text: &str) -> Option<Self> {
        match text {
            "single_use" => Some(Self::SingleUse),
            "reusable" => Some(Self::Reusable),
            _ => None,
        }
    }
}

impl Form for DeviceClient {
    const EXPECTED: &'static str = "as which client device codes are polled for|write public or confidential";

    fn text(text: &str) -> Option<Self> {
        match text {
            "public" => Some(Self::Public),
            "confidential" => Some(Self::Confidential),
            _ => None,
        }
    }
}

impl Form for SessionAsk {
    const EXPECTED: &'static str = "how a session asks for its refresh token|write offline_access or refresh_token_type";

    fn text(text: &str) -> Option<Self> {
        match text {
            "offline_access" => Some(Self::OfflineAccess),
            "refresh_token_type" => Some(Self::RefreshTokenType),
            _ => None,
        }
    }
}

impl Form for ApiIdentity {
    const EXPECTED: &'static str = "whose token is answered|write user or app";

    fn text(text: &str) -> Option<Self> {
        match text {
            "user" => Some(Self::User),
            "app" => Some(Self::App),
            _ => None,
        }
    }
}

impl Form for Unauthenticated {
    const EXPECTED: &'static str = "who is answered without a user's token|write anyone, or remove it";

    fn text(text: &str) -> Option<Self> {
        (text == "anyone").then_some(Self)
    }
}

impl Form for AccountRights {
    const EXPECTED: &'static str = "whose accounts the caller may use|write own or all";

    fn text(text: &str) -> Option<Self> {
        match text {
            "own" => Some(Self::Own),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

impl Form for ClientCertificates {
    const EXPECTED: &'static str = "whether clients have to show a certificate|write required or optional";

    fn text(text: &str) -> Option<Self> {
        match text {
            "required" => Some(Self::Required),
            "optional" => Some(Self::Optional),
            _ => None,
        }
    }
}

/// The text, if it is digits alone: Rust's own parsers take a sign as well.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

/// Digits, and what follows them.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

/// The error of a value that has the right type and says nothing sensible; it carries no value.
fn refused<E: Error>(expected: &dyn serde::de::Expected) -> E {
    E::invalid_value(Unexpected::Other("a value"), expected)
}

// === impl Scalar ===

impl<'de, T: Form> Deserialize<'de> for Scalar<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData)).map(Self)
    }
}

impl<T: Form> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::text(text.trim()).ok_or_else(|| refused(&self))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::number(number).ok_or_else(|| refused(&self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

// === impl Text ===

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Self)
    }
}

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text|write one text, in quotes if it looks like a number, a list or a switch")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

// === impl List ===

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor).map(Self)
    }
}

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<Option<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts|write [a, b]")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.starts_with('[') && !text::is_ip_v6_address(text) {
            let tree = text::flow_tree(text).ok_or_else(|| refused(&self))?;
            return Node(&tree).deserialize_any(Self).map_err(|_| refused(&Self));
        }
        // Nobody means one entry by this, and nothing else would say so before the entry is missed.
        if text.contains(',') { Err(refused(&self)) } else { Ok(vec![Some(text.to_owned())]) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Option<Text>>()? {
            list.push(item.map(|text| text.0));
        }
        Ok(list)
    }
}

// === impl Later ===

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize as _;
    use serde_json::json;

    use super::{Form, List, Mode, Scalar, Size};
    use crate::config::node::Node;

    #[test]
    fn durations_have_units() {
        let cases = [("50ms", 50), ("8s", 8_000), ("2m", 120_000), ("1h", 3_600_000), ("0", 0)];
        for (text, millis) in cases {
            assert_eq!(Duration::text(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "8", "s", "-1s", "1.5s", "8 days", "8S", "99999999999999999999s"] {
            assert_eq!(Duration::text(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(Size::text("64MiB"), Some(Size(64 << 20)));
        assert_eq!(Size::text("1000000"), Some(Size(1_000_000)));
        assert_eq!(Size::text("64MB"), None);
        assert_eq!(Size::text("18446744073709551615GiB"), None);
    }

    #[test]
    fn a_mode_is_octal_text_and_a_number_that_was_octal_is_refused() {
        assert_eq!(Mode::text("0660"), Some(Mode(0o660)));
        assert_eq!(Mode::number(660), Some(Mode(0o660)));
        for mode in 0o600..=0o777_u64 {
            assert_eq!(Mode::number(mode), None, "{mode:o}");
        }
        assert_eq!(Mode::text("0888"), None);
        assert_eq!(Mode::text("1777"), None);
    }

    #[test]
    fn a_list_has_a_string_form() {
        let read = |value: &serde_json::Value| List::deserialize(Node(value)).ok().map(|list| list.0);
        assert_eq!(read(&json!("a")), Some(vec![Some("a".to_owned())]));
        assert_eq!(read(&json!("[a, 'b c']")), Some(vec![Some("a".to_owned()), Some("b c".to_owned())]));
        assert_eq!(read(&json!("a, b")), None);
        assert_eq!(read(&json!([1])), None);
        assert_eq!(read(&json!({"a": 1})), None);
    }

    #[test]
    fn a_scalar_takes_its_text_and_no_yaml_1_1_word() {
        let read = |value: &serde_json::Value| Scalar::<bool>::deserialize(Node(value)).ok().map(|scalar| scalar.0);
        assert_eq!((read(&json!(true)), read(&json!("false"))), (Some(true), Some(false)));
        assert_eq!((read(&json!("yes")), read(&json!(1)), read(&json!("True"))), (None, None, None));
    }
}
