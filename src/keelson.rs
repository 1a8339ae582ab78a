//! The `keelson` binary: a master, or a whole cluster on one machine.

fn main() {
    node::main()
}
