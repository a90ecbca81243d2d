//! Clusters in network namespaces with real traffic, for the demo, end-to-end tests and benchmarks.
