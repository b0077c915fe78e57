//! CPU per cached request of two builds of tokend, in interleaved pairs of fresh processes.

use std::path::Path;

use super::authority::Issuer;
use super::load::{Load, Request};
use super::server::{Server, TOKEN};
use super::statistics::median;

/// How many pairs.
const PAIRS: usize = 30;

/// Compares the second binary with the first.
pub(crate) fn compare(old: &Path, new: &Path) {
    let issuer = Issuer::start();
    let body = r#"{"app":"shop","scopes":["stock.read"]}"#;
    let user = issuer.user_token(0);
    let requests = [
        ("/client-credentials", Request::calling("/client-credentials", body, None, TOKEN)),
        ("/obo", Request::calling("/obo", body, Some(&user), TOKEN)),
    ];
    let mut ratios = vec![Vec::new(); requests.len()];
    for pair in 0..PAIRS {
        let (first, second) = (Server::process_for_a_caller(&issuer, old), Server::process_for_a_caller(&issuer, new));
        for ((_, request), ratios) in requests.iter().zip(&mut ratios) {
            let measure = |server| Load::one(request.clone()).run(server).cpu_micros;
            // Fills caches and connections.
            let _warm = (measure(&first), measure(&second));
            // Which of the two goes first alternates.
            let (old, new) = if pair % 2 == 0 {
                let old = measure(&first);
                (old, measure(&second))
            } else {
                let new = measure(&second);
                (measure(&first), new)
            };
            ratios.push(new / old);
        }
    }
    println!("\nCPU per cached request, new / old, {PAIRS} pairs of processes");
    for ((name, _), ratios) in requests.iter().zip(ratios) {
        let [low, median, high] = interval(ratios);
        println!("  {name:<24} median {median:.3}, 95 % interval {low:.3} to {high:.3}");
    }
}

/// The median with an interval that holds it in 95 of 100 series, from the order of the values alone: what they are distributed
/// like does not matter (30 values: the 10th and the 21st).
fn interval(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let count = u32::try_from(values.len()).map_or(0.0, f64::from);
    let below = (count / 2.0 - 1.96 * count.sqrt() / 2.0).floor().max(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number above zero")]
    let below = below as usize;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    [at(below), median(values.iter().copied()), at(values.len().saturating_sub(below + 1))]
}
