//! Medians of interleaved rounds, and the ratios between servers round by round.

use std::collections::BTreeMap;

/// One measurement of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Requests per second.
    pub(crate) rate: f64,
    /// CPU time of the server's thread per request, in microseconds.
    pub(crate) cpu_micros: f64,
}

/// Measurements by server, in the order they were made.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    order: Vec<String>,
    by_name: BTreeMap<String, Vec<Measured>>,
}

impl Rounds {
    pub(crate) fn add(&mut self, name: &str, measured: Measured) {
        if !self.by_name.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.by_name.entry(name.to_owned()).or_default().push(measured);
    }

    pub(crate) fn of(&self, name: &str) -> &[Measured] {
        self.by_name.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}\n  {:<32} {:>12} {:>16}", "median of rounds", "requests/s", "CPU µs/request");
        for name in &self.order {
            let rounds = self.of(name);
            let rate = median(rounds.iter().map(|measured| measured.rate));
            let cpu = median(rounds.iter().map(|measured| measured.cpu_micros));
            println!("  {name:<32} {rate:>12.0} {cpu:>16.2}");
        }
    }

    /// The median over the rounds of `a`'s figures divided by `b`'s: rate, and CPU per request.
    pub(crate) fn ratio(&self, a: &str, b: &str) -> [f64; 2] {
        let pairs = || self.of(a).iter().zip(self.of(b));
        [median(pairs().map(|(a, b)| a.rate / b.rate)), median(pairs().map(|(a, b)| a.cpu_micros / b.cpu_micros))]
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
