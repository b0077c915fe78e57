//! Times, numbers and sizes within their bounds, or what stands for them where none is given.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::report::Report;
use super::scalar::{Form, Scalar, Size};
use crate::finding::Complaint;

pub(super) const GIB: usize = 1 << 30;

pub(super) fn or<T: Form>(value: Option<Scalar<T>>, default: T) -> T {
    value.map_or(default, |scalar| scalar.0)
}

/// A time limit: nothing can be done in no time.
pub(super) fn duration(path: &str, value: Option<Scalar<Duration>>, default: Duration, report: &mut Report<'_>) -> Duration {
    let value = or(value, default);
    if value.is_zero() {
        report.error(path, Complaint::new("it is zero", "write a time above zero; no key switches a limit off"));
    }
    value
}

pub(super) fn count(path: &str, value: Option<Scalar<u64>>, default: usize, report: &mut Report<'_>) -> usize {
    let value =
        value.map_or(Some(default), |scalar| usize::try_from(scalar.0).ok()).filter(|value| (1..=1_000_000).contains(value));
    value.unwrap_or_else(|| {
        report.error(
            path,
            Complaint::new("it is not between 1 and 1000000", "write a number in these bounds; no key switches a limit off"),
        );
        default
    })
}

pub(super) fn size(
    path: &str,
    value: Option<Scalar<Size>>,
    default: usize,
    bounds: RangeInclusive<usize>,
    report: &mut Report<'_>,
) -> usize {
    let value = value.map_or(Some(default), |scalar| usize::try_from(scalar.0.0).ok()).filter(|value| bounds.contains(value));
    value.unwrap_or_else(|| {
        let reason = format!("it is not between {} and {} bytes", bounds.start(), bounds.end());
        report.error(path, Complaint::new(reason, "write a size in these bounds, such as 256KiB; no key switches a limit off"));
        default
    })
}
