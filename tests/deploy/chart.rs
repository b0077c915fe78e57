//! The Helm chart, by the tools of those who use it: `helm` renders and packages it, `kubeconform` holds the result against the
//! schemas of three releases of Kubernetes, `kube-score` judges it, `helm-docs` writes its README, and tokend reads the
//! configuration it makes.
//!
//! `ci/` has a values file for every way to run it. What only an API server can say stands in `tests/cluster`.

#![expect(
    clippy::expect_used,
    reason = "a test ends where it cannot go on; the lint's exception for tests does not cover their helpers"
)]

mod callers;
mod cel;
mod configuration;
mod consumer;
mod containers;
mod copies;
mod helm;
mod identity;
mod missing;
mod names;
mod proxies;
mod refusals;
mod renders;
mod values;
