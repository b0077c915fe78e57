//! `tokend caller-token`: a token for a caller, from the machine's randomness.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use zeroize::Zeroizing;

/// What to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum CallerToken {
    /// Print a new token, for a file that `callers.*.token` or `msi.secret` names, and for the caller
    New,
}

/// A token of 256 bits and the end of its line; `None`: the machine has no randomness.
pub(super) fn text(CallerToken::New: CallerToken) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut_slice()).ok()?;
    let mut text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    text.push('\n');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{CallerToken, text};

    #[test]
    fn each_is_another_line_that_headers_and_forms_carry_as_it_is() {
        let [one, other] = [0; 2].map(|_| text(CallerToken::New).unwrap());
        assert_ne!(one, other);
        for text in [one, other] {
            let token = text.strip_suffix('\n').unwrap();
            assert_eq!(token.len(), 43);
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{}", token.len());
        }
    }
}
