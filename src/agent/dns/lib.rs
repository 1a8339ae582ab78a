//! Names of services and pods.
