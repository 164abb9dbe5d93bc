//! The benchmark's workers, with the allocator that the product has.

fn main() -> anyhow::Result<()> {
    landfast_bench::run()
}
