//! Decides whether a request is traced, before any span exists:
//! the exporter's own sampler is asked only after the whole span is built.

use super::trace::Trace;

/// Decides for each request; a `Copy` value without shared state, so that threads never meet here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// New requests are sampled when a random number is below it; the number has 32 bits, so that a ratio of 1 is above them all.
    threshold: u64,
}

// === impl Sampler ===

impl Sampler {
    /// A sampler for the part `ratio` of new requests, from 0 to 1; `None`: spans go nowhere.
    pub fn new(ratio: Option<f64>) -> Self {
        let ratio = ratio.unwrap_or(0.0).clamp(0.0, 1.0);
        let threshold = (ratio * (u64::from(u32::MAX) + 1) as f64) as u64;
        Self { threshold }
    }

    /// The trace that a request belongs to. A valid `traceparent` has decided already; a new request is sampled by ratio and gets
    /// its ids with its span.
    ///
    /// Where spans go nowhere a `traceparent` is still passed on as it came: clearing its flag would end the caller's trace here.
    pub fn decide(&self, traceparent: Option<&str>) -> Trace {
        if let Some(trace) = traceparent.and_then(Trace::parse) {
            return trace;
        }
        // Not an argument, unlike other randomness: a test that needs one outcome asks for a ratio of 0 or 1.
        let sampled = self.threshold > 0 && u64::from(rand::random::<u32>()) < self.threshold;
        Trace { sampled, ..Trace::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::Sampler;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    #[test]
    fn the_caller_decides_first() {
        for sampler in [Sampler::new(None), Sampler::new(Some(0.0)), Sampler::new(Some(1.0))] {
            assert_eq!(sampler.decide(Some(SAMPLED)).to_string(), SAMPLED);
            assert_eq!(sampler.decide(Some(UNSAMPLED)).to_string(), UNSAMPLED);
        }
    }

    #[test]
    fn then_the_ratio() {
        let sampled = |ratio| {
            let sampler = Sampler::new(ratio);
            (0..10_000).filter(|_| sampler.decide(Some("garbage")).sampled).count()
        };
        assert_eq!(sampled(None), 0);
        assert_eq!(sampled(Some(0.0)), 0);
        assert_eq!(sampled(Some(1.0)), 10_000);
        // Six standard deviations around 500.
        assert!((370..630).contains(&sampled(Some(0.05))));
    }

    #[test]
    fn a_new_request_has_no_ids_yet() {
        assert!(!Sampler::new(Some(1.0)).decide(None).is_some());
    }
}
