//! Redis and Valkey as real processes of the test's own: alone, under sentinels, as a cluster, with TLS and users.

mod admin;
mod cluster;
mod options;
mod sentinel;
mod server;
mod tls;

pub(crate) use admin::Admin;
pub(crate) use cluster::Cluster;
pub(crate) use options::{Flavour, Options};
pub(crate) use sentinel::Sentinel;
pub(crate) use server::RedisServer;
pub(crate) use tls::Certificates;
