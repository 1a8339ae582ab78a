//! Pods on one node: plans, and containers through an engine.
