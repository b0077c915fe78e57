//! The flows that there are, and in what they differ wherever what is common has to know: one row each.

use crate::oauth::{GRANT_DEVICE_CODE, GRANT_PASSWORD, GRANT_REFRESH_TOKEN};
use crate::source::Repeat;
use crate::token::Turn;

/// A flow, for labels and rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 7523 with Entra's extension, or RFC 8693.
    OnBehalfOf,
    /// RFC 6749 §4.1, the redemption.
    AuthCode,
    /// A token of an account that signed in before (RFC 6749 §6).
    Silent,
    /// A sign-in by a refresh token that somebody else got (RFC 6749 §6).
    RefreshToken,
    /// RFC 8628.
    DeviceCode,
    /// RFC 6749 §4.3.
    UsernamePassword,
}

/// What is to be known of a flow.
struct FlowFacts {
    name: &'static str,
    is_cached: bool,
    repeat: Repeat,
    grant: &'static str,
    invalid_grant: InvalidGrant,
    is_configured: bool,
    sends_refresh_token: bool,
    lost: Option<&'static str>,
}

/// Whose turn it is after `invalid_grant`.
#[derive(Clone, Copy)]
struct InvalidGrant {
    usually: Turn,
    /// Where a suberror asks for the user.
    interaction: Turn,
}

const CLIENT_CREDENTIALS: FlowFacts = FlowFacts {
    name: "client_credentials",
    is_cached: true,
    repeat: Repeat::Once,
    grant: "client_credentials",
    invalid_grant: InvalidGrant::of(Turn::Operator),
    is_configured: true,
    sends_refresh_token: false,
    lost: None,
};

const ON_BEHALF_OF: FlowFacts = FlowFacts {
    name: "on_behalf_of",
    is_cached: true,
    repeat: Repeat::Once,
    grant: "on_behalf_of",
    invalid_grant: InvalidGrant::of(Turn::User),
    is_configured: false,
    sends_refresh_token: false,
    lost: None,
};

const AUTH_CODE: FlowFacts = FlowFacts {
    name: "auth_code",
    is_cached: false,
    repeat: Repeat::Never,
    grant: "authorization_code",
    invalid_grant: InvalidGrant { usually: Turn::Caller, interaction: Turn::User },
    is_configured: false,
    sends_refresh_token: false,
    lost: Some("; whether the code was redeemed is not known: start the sign-in again"),
};

const SILENT: FlowFacts = FlowFacts {
    name: "silent",
    is_cached: true,
    repeat: Repeat::Never,
    grant: "refresh_token",
    invalid_grant: InvalidGrant::of(Turn::User),
    is_configured: false,
    sends_refresh_token: true,
    lost: Some(
        "; whether the refresh token was redeemed is not known: if the next attempt is refused, the user has to sign in again",
    ),
};

const REFRESH_TOKEN: FlowFacts = FlowFacts {
    name: "refresh_token",
    is_cached: false,
    repeat: Repeat::Never,
    grant: GRANT_REFRESH_TOKEN,
    invalid_grant: InvalidGrant::of(Turn::User),
    is_configured: false,
    sends_refresh_token: false,
    lost: Some(
        "; whether the refresh token was redeemed is not known: if the next attempt is refused, the user has to sign in again",
    ),
};

const DEVICE_CODE: FlowFacts = FlowFacts {
    name: "device_code",
    is_cached: false,
    repeat: Repeat::Never,
    grant: GRANT_DEVICE_CODE,
    invalid_grant: InvalidGrant::of(Turn::User),
    is_configured: false,
    sends_refresh_token: false,
    lost: Some("; whether the device code was redeemed is not known: poll once more, and start again if it is refused then"),
};

const USERNAME_PASSWORD: FlowFacts = FlowFacts {
    name: "username_password",
    is_cached: false,
    // A password that is sent twice counts twice where wrong ones are counted.
    repeat: Repeat::Never,
    grant: GRANT_PASSWORD,
    invalid_grant: InvalidGrant::of(Turn::User),
    is_configured: false,
    sends_refresh_token: false,
    lost: None,
};

// === impl InvalidGrant ===

impl InvalidGrant {
    const fn of(turn: Turn) -> Self {
        Self { usually: turn, interaction: turn }
    }
}

// === impl Flow ===

impl Flow {
    /// Every flow, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::ClientCredentials,
        Self::OnBehalfOf,
        Self::AuthCode,
        Self::Silent,
        Self::RefreshToken,
        Self::DeviceCode,
        Self::UsernamePassword,
    ];

    fn facts(self) -> &'static FlowFacts {
        match self {
            Self::ClientCredentials => &CLIENT_CREDENTIALS,
            Self::OnBehalfOf => &ON_BEHALF_OF,
            Self::AuthCode => &AUTH_CODE,
            Self::Silent => &SILENT,
            Self::RefreshToken => &REFRESH_TOKEN,
            Self::DeviceCode => &DEVICE_CODE,
            Self::UsernamePassword => &USERNAME_PASSWORD,
        }
    }

    /// What metrics, spans and the configuration call it.
    pub fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// Whether it is answered from the cache, and so may be renewed in the background.
    pub fn is_cached(self) -> bool {
        self.facts().is_cached
    }

    /// Whether what it sends may be sent again where no answer came.
    pub(super) fn repeat(self) -> Repeat {
        self.facts().repeat
    }

    /// The grant type that it uses; at one authority that is the same for all of its requests.
    pub(super) fn grant(self) -> &'static str {
        self.facts().grant
    }

    /// Whose turn it is after `invalid_grant`, which may have come with a suberror that asks for the user.
    pub(super) fn turn_after_invalid_grant(self, asks_for_user: bool) -> Turn {
        let InvalidGrant { usually, interaction } = self.facts().invalid_grant;
        if asks_for_user { interaction } else { usually }
    }

    /// Whether all that its requests say beside their scopes and their tenant is configured.
    pub(super) fn is_configured(self) -> bool {
        self.facts().is_configured
    }

    /// Whether it sends the account's refresh token: what was said of another one says nothing of it then.
    pub(super) fn sends_refresh_token(self) -> bool {
        self.facts().sends_refresh_token
    }

    /// What a caller is told to do where what was sent may be used up and no answer came; `None` if it may be sent again.
    pub(super) fn lost(self) -> Option<&'static str> {
        self.facts().lost
    }
}
