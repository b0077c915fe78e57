//! What every test here stands on: a namespace of its own, and what it puts into it.

mod app;
mod authority;
mod certificates;
mod images;
mod injection;
mod kube;
mod namespace;
mod redis;
mod release;
mod stage;

use std::path::Path;

pub(crate) use app::{App, container, deployment, job, pod, restricted};
pub(crate) use authority::{Authority, CLIENT, PORTAL, SCOPE, TENANT, USER};
pub(crate) use certificates::Certificates;
pub(crate) use images::{app as app_image, proxy as proxy_image, sdk as sdk_image};
pub(crate) use injection::{Injection, Policy, sidecars};
pub(crate) use kube::{helm, json, kubectl};
pub(crate) use namespace::{Namespace, name};
pub(crate) use redis::Redis;
pub(crate) use release::{Release, image};
pub(crate) use stage::{CALLER, Stage, body, config, shared, with_credential};

/// The clone.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
