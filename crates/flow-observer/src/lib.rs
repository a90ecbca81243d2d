//! Sources, decode, enrichment, flow ring and the Observer service of one node.
