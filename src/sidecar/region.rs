//! The region in which the process runs, where an app wants it: looked for once, in the background.

use crate::authority::{OwnRegion, RegionState, RegionWish};
use crate::config::Settings;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::transport::Door;

/// The process's own region, if an app wants it.
pub(super) fn of(settings: &Settings) -> Option<OwnRegion> {
    settings.apps.iter().find_map(|app| match &app.authority.region {
        Some(RegionWish::Auto(source)) => Some(OwnRegion::new(source)),
        Some(RegionWish::Named(_)) | None => None,
    })
}

/// The way to the metadata of the machine, past any proxy: another machine's would be what a proxy reached.
pub(super) fn way(settings: &Settings, tls: rustls::ClientConfig) -> Option<Door> {
    of(settings)?;
    Door::open(&settings.outbound, tls, settings.calls.connect_timeout, true).ok()
}

/// Looks for it, and says in a gauge how far that is.
pub(super) fn find(own: &OwnRegion, machine: Option<Door>, tasks: &Tasks, metrics: &Metrics) {
    let gauge = metrics.gauges(
        "region_state",
        "Whether the region of this machine is known: 1 for what is so. Until it is known, and where it cannot be, global endpoints \
         are asked.",
        &["state"],
    );
    let seen = own.clone();
    metrics.before_render(move || {
        for state in RegionState::ALL {
            gauge.with_label_values(&[state.as_str()]).set(i64::from(seen.state() == state));
        }
    });
    if let Some(machine) = machine {
        let own = own.clone();
        tasks.background("region", async move { own.find(&machine).await });
    }
}
