//! Clients that mean harm, or behave as if they did, against the whole sidecar.

mod assertions;
mod places;
mod work;
