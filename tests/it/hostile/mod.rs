//! Callers who mean harm: what they begin and leave stays within bounds, and those who do not goes on.

mod work;
