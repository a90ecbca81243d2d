//! Peers, merge and serve: many node agents as one Observer service.
