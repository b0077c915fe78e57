//! What to do about a refusal: whose turn it is says it, and where the authority gave a number of Entra's that is known, that says
//! it better. Numbers choose words and nothing else (ERR-9).

use crate::oauth::ErrorBody;
use crate::token::Turn;

/// What numbers mean, and what helps.
const KNOWN: [(&[u64], &str); 17] = [
    (
        &[90002, 900_021, 900_023, 50059],
        "there is no such tenant: check the tenant in the app's `authority`, or `tenant` of the request",
    ),
    (
        &[700_016, 700_011],
        "the app is not registered in this tenant: check `client_id` and the tenant, and whether the app was added there",
    ),
    (&[7_000_112], "the app is disabled in this tenant: have an administrator enable it"),
    (
        &[65001],
        "nobody has consented to this: have an administrator consent for the app's registration, or let the user sign in again with \
         `prompt` `consent`",
    ),
    (&[65004], "the user declined: let the user sign in again and consent, or have an administrator do so"),
    (
        &[50196],
        "the same was asked again and again within minutes, and the authority takes it for a loop: wait some minutes, and find who asks \
         with `force_refresh`, or without using what came back",
    ),
    (
        &[7_000_215, 70002],
        "its credential is wrong: put the value of a client secret of this registration, and not the secret's id, into the file of \
         `credential.secret`",
    ),
    (
        &[7_000_222],
        "its credential has expired: make a new client secret in the registration, and put its value into the file of `credential.secret`",
    ),
    (
        &[7_000_218],
        "it wants a credential of this client: check `credential`, and whether the registration is a confidential client, or allow public \
         client flows there; for device codes `apps.*.device_code.client` says whether the credential is sent",
    ),
    (
        &[700_025],
        "the registration is a public client, which sends no credential: write `public` as `apps.*.device_code.client` for device codes, \
         or `credential.public` for all of the app",
    ),
    (&[700_027, 700_030], "its credential is not registered: add the certificate of `credential.certificate` to the registration"),
    (
        &[700_024, 500_133],
        "a time in the credential or the token that was sent is over or to come: check the clock of this machine, and how old they are",
    ),
    (
        &[700_211, 700_212, 700_213, 70025],
        "its credential is not trusted: issuer, subject and audience of the federated token have to be those of a federated credential \
         of the registration",
    ),
    (
        &[500_011, 50001, 650_057],
        "there is no such resource in this tenant: check the resource in `scopes`, and whether it was added to the tenant",
    ),
    (&[70011], "`scopes` are not as this flow takes them: check their spelling and their resource"),
    (
        &[1_002_012],
        "client credentials take the scope `/.default` of one resource alone: write it behind the resource's URI in `scopes`",
    ),
    (&[50105], "nobody has assigned the user to this app: have an administrator do so, then let the user sign in again"),
];

/// One sentence for a refusal that this is the answer to.
pub(super) fn remedy(turn: Turn, body: &ErrorBody) -> String {
    let (who, usual) = match turn {
        Turn::User => ("the authority asks for the user", "sign in again, with `claims` if there are any"),
        Turn::Caller => ("the authority does not accept the request", "see `error_description`"),
        Turn::Rights => ("the authority does not let this app act here", "see `suberror`"),
        _ => ("the authority refuses the app", "check its credential and registration"),
    };
    // A challenge is answered by what it asks for, and rights have a reason of their own.
    let numbered = if body.claims.is_some() || turn == Turn::Rights { None } else { numbered(body) };
    format!("{who}: {}", numbered.unwrap_or(usual))
}

fn numbered(body: &ErrorBody) -> Option<&'static str> {
    let words = |code: u64| KNOWN.iter().find(|(codes, _)| codes.contains(&code)).map(|(_, words)| *words);
    body.error_codes.iter().find_map(|code| words(*code)).or_else(|| words(described(body.error_description.as_deref()?)?))
}

/// The number that a description begins with, where it does not stand by itself.
fn described(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("AADSTS")?;
    digits.get(..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, remedy};
    use crate::oauth::ErrorBody;
    use crate::token::Turn;

    fn said(codes: &[u64], description: Option<&str>) -> ErrorBody {
        ErrorBody { error_codes: codes.to_vec(), error_description: description.map(str::to_owned), ..ErrorBody::default() }
    }

    #[test]
    fn a_number_that_is_known_chooses_the_words() {
        for (codes, words) in KNOWN {
            for code in codes {
                for body in [said(&[*code], None), said(&[1, *code], None), said(&[], Some(&format!("AADSTS{code}: It is so.")))] {
                    assert!(remedy(Turn::Operator, &body).ends_with(words), "{code}");
                }
            }
        }
        let words = |code: u64| remedy(Turn::Operator, &said(&[code], None));
        assert!(words(90002).contains("tenant") && words(65001).contains("consent") && words(50196).contains("loop"));
    }

    #[test]
    fn without_one_the_turn_does_and_a_challenge_always() {
        for body in [said(&[], None), said(&[999_999], None), said(&[], Some("AADSTS: x")), said(&[], Some("about AADSTS90002"))] {
            assert!(remedy(Turn::Operator, &body).ends_with("check its credential and registration"), "{body:?}");
        }
        let challenge = ErrorBody { claims: Some("{}".to_owned()), ..said(&[65001], None) };
        assert!(remedy(Turn::User, &challenge).contains("`claims`"));
        assert!(remedy(Turn::Rights, &said(&[65001], None)).contains("`suberror`"));
    }
}
