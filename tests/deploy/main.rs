//! What runs tokend, looked at with the tools of those who run it: the chart, the images, the rules and dashboards.
//!
//! `make test-deploy` installs the tools; the modules here only start them, and say which one is missing.

mod chart;
mod compose;
mod image;
mod observe;
mod support;
