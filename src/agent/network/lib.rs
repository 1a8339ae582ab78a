//! Addresses, interfaces and routes of pods.
