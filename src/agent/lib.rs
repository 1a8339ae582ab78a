//! One node: joining, and the parts that run there.
