//! The benchmark's workers with mimalloc, to see what an allocator is worth; built with the feature `mimalloc`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    landfast_bench::run()
}
