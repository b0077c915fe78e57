//! The images: what lies in them, and that they run where nothing is granted to them.
//!
//! `tests/setup/image --platforms` builds them through `deploy/Dockerfile` from what git has of the clone. Nothing is built here.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod arm64;
mod contents;
mod engine;
mod runs;

pub(super) use engine::{image, podman, until};
