//! Who is who by a Kubernetes API server: a real conversation with the one of the testbed.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod churn;
mod faults;
mod names;
mod outage;
mod support;
