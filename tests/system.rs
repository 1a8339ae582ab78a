//! The system as a whole: real processes, real engines, real packets. One program, so that tests of all files share the
//! machine: as many run at once as it has cores, because most of them mostly wait.

mod agents;
mod auth;
mod bootstrap;
mod clients;
mod durability;
mod endings;
mod examples;
mod failover;
mod golden {
    pub mod normal;
    pub mod recording;
}
mod kctl;
mod kubectl;
mod membership;
mod nodes;
mod one_machine;
mod pods;
mod removal;
mod session;
mod status;
mod streams;
mod up;
