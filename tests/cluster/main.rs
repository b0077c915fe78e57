//! tokend in a real Kubernetes: the chart's three ways to run it, with the images that are shipped, looked at with `kubectl` and
//! `helm` as an operator would.
//!
//! `KUBECONFIG` names the cluster. It must have MutatingAdmissionPolicy (1.36 on), and the images, under the names in
//! `support::images`: no registry is asked for them. Each test has a namespace of its own that enforces the restricted Pod Security
//! standard; nothing of it stays behind. `make test-cluster` makes what is needed beside the cluster.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod admission;
mod drain;
mod federated;
mod identity;
mod injected;
mod proxies;
mod service_accounts;
mod shared;
mod standalone;
mod support;
mod template;
