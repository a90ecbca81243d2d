//! FlowFilter compiled to a predicate over anything that can be viewed as a flow.
