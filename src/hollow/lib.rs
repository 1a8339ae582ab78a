//! Nodes without containers, thousands in one process.
