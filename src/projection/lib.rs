//! The World that controllers see, what a controller is, and the runner that carries out plans.
