"""The sections of the benchmark: each measures one thing, and renders what it found."""
