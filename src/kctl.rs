//! The `kctl` binary: the admin CLI.

fn main() -> std::process::ExitCode {
    kctl::main()
}
