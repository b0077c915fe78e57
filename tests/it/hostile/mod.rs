//! Clients that mean harm, or behave as if they did, against the whole sidecar.

mod places;
mod work;
