//! What the images are called. They have to be in the cluster under these names, or where the environment says.

/// tokend as it is released; `TOKEND_TEST_IMAGE`.
pub(crate) fn tokend() -> String {
    named("TOKEND_TEST_IMAGE", "localhost/tokend:test")
}

/// tokend with the emulator; `TOKEND_TEST_EMULATOR_IMAGE`.
pub(crate) fn emulator() -> String {
    named("TOKEND_TEST_EMULATOR_IMAGE", "localhost/tokend-emulator:test")
}

/// The app of `tests/cluster/app`; `TOKEND_TEST_APP_IMAGE`.
pub(crate) fn app() -> String {
    named("TOKEND_TEST_APP_IMAGE", "localhost/tokend-test-app:test")
}

/// The app of `tests/cluster/sdk` in a Python with azure-identity; `TOKEND_TEST_SDK_IMAGE`.
pub(crate) fn sdk() -> String {
    named("TOKEND_TEST_SDK_IMAGE", "localhost/tokend-test-sdk:test")
}

/// A Redis 7 whose entry point is the server; `TOKEND_TEST_REDIS_IMAGE`.
pub(crate) fn redis() -> String {
    named("TOKEND_TEST_REDIS_IMAGE", "localhost/tokend-test-redis:test")
}

/// An nginx whose entry point is the server; `TOKEND_TEST_PROXY_IMAGE`.
pub(crate) fn proxy() -> String {
    named("TOKEND_TEST_PROXY_IMAGE", "localhost/tokend-test-proxy:test")
}

#[expect(clippy::disallowed_methods, reason = "whoever has the cluster says so in the environment of the tests")]
fn named(variable: &str, otherwise: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned())
}
