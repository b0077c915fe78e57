//! The real Redis servers of the tests: that they start, fail and come back as the other tests expect.

mod store;
mod support_works;
