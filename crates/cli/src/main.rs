//! Flow observability for Linux and Kubernetes that speaks Hubble's API.

fn main() {}
