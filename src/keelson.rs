//! The `keelson` binary: a master, or a whole cluster on one machine.

/// Many threads here free what others allocated, in all sizes and at any age. See docs/decisions/0027-allocator.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    node::main()
}
