//! The metrics of the process itself, under the names that Prometheus' own client libraries use, and which build it is.
//!
//! They are read from `/proc` at each scrape: the client library's own collector counts CPU time in whole seconds.

use std::fs;

use prometheus::{Counter, IntGauge, Opts};

use super::Metrics;

/// Clock ticks in a second, as the kernel tells user space on every architecture that a release is built for.
const TICKS: f64 = 100.0;

/// What the kernel says of this process.
#[derive(Debug, Default, PartialEq)]
struct ProcessReading {
    cpu_seconds: f64,
    threads: i64,
    started: i64,
    virtual_bytes: i64,
    resident_bytes: i64,
    open_fds: i64,
    max_fds: Option<i64>,
}

/// Makes `tokend_build_info` and, where there is a `/proc`, the metrics of the process.
pub fn observe_process(metrics: &Metrics) {
    let build = metrics.gauges("build_info", "Which build this is; always 1.", &["version"]);
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    if ProcessReading::take().is_none() {
        return;
    }
    let gauge = |name, help| made(IntGauge::with_opts(Opts::new(name, help)), metrics);
    let resident = gauge("process_resident_memory_bytes", "Resident memory size in bytes.");
    let virtually = gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.");
    let open = gauge("process_open_fds", "Number of open file descriptors.");
    let most = gauge("process_max_fds", "Maximum number of open file descriptors.");
    let threads = gauge("process_threads", "Number of OS threads in the process.");
    let started = gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.");
    let help = "Total user and system CPU time spent in seconds.";
    let cpu = made(Counter::with_opts(Opts::new("process_cpu_seconds_total", help)), metrics);
    metrics.before_render(move || {
        let Some(reading) = ProcessReading::take() else { return };
        resident.set(reading.resident_bytes);
        virtually.set(reading.virtual_bytes);
        open.set(reading.open_fds);
        most.set(reading.max_fds.unwrap_or(i64::MAX));
        threads.set(reading.threads);
        started.set(reading.started);
        cpu.inc_by((reading.cpu_seconds - cpu.get()).max(0.0));
    });
}

#[expect(clippy::expect_used, reason = "names are literals: a bad one fails the first test that builds a sidecar")]
fn made<M: prometheus::core::Collector + Clone + 'static>(metric: prometheus::Result<M>, metrics: &Metrics) -> M {
    let metric = metric.expect("a valid metric");
    metrics.register("process", Box::new(metric.clone()));
    metric
}

// === impl ProcessReading ===

impl ProcessReading {
    fn take() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let booted = fs::read_to_string("/proc/stat").unwrap_or_default();
        let mut reading = Self::parse(&stat, &status, &limits, &booted)?;
        // The folder itself is open while it is read.
        let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
        reading.open_fds = i64::try_from(open).unwrap_or(i64::MAX);
        Some(reading)
    }

    /// proc(5): the fields of `stat` are counted from the end of the name, which may hold anything.
    fn parse(stat: &str, status: &str, limits: &str, booted: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // `state`, the first of them, is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
        let seconds = |ticks: i64| ticks as f64 / TICKS;
        let after = |text: &str, name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split_ascii_whitespace().next()?.parse::<i64>().ok()
        };
        Some(Self {
            cpu_seconds: seconds(field(14)?.saturating_add(field(15)?)),
            threads: field(20)?,
            started: after(booted, "btime").unwrap_or(0).saturating_add(seconds(field(22)?) as i64),
            virtual_bytes: field(23)?,
            resident_bytes: after(status, "VmRSS:")?.saturating_mul(1024),
            open_fds: 0,
            max_fds: after(limits, "Max open files"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, ProcessReading, observe_process};

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "4711 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 150 13 14 20 0 7 0 1000 123456789 999 18446744073709551615";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 524288               files\n";
        let reading = ProcessReading::parse(stat, "VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n", limits, "cpu 1\nbtime 1795300000\n");
        let expected = ProcessReading {
            cpu_seconds: 4.0,
            threads: 7,
            started: 1_795_300_010,
            virtual_bytes: 123_456_789,
            resident_bytes: 2048 * 1024,
            open_fds: 0,
            max_fds: Some(1024),
        };
        assert_eq!(reading, Some(expected));
        assert_eq!(ProcessReading::parse("", "", "", ""), None);
    }

    #[test]
    fn tells_of_this_very_process() {
        let metrics = Metrics::default();
        observe_process(&metrics);
        let text = String::from_utf8(metrics.render()).expect("UTF-8");
        assert!(text.contains(concat!("tokend_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")), "{text}");
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_threads", "process_start_time_seconds"] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
            assert!(value.is_some_and(|value| value > 0.0), "{name} in {text}");
        }
    }
}
