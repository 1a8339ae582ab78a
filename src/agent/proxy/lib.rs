//! Services on one node: rulesets as data, nftables.
