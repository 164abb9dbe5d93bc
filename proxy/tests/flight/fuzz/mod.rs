//! Whatever bytes come, the service answers: no panic, no overflow of a stack, no input that takes for ever or all memory.
//!
//! Inputs are valid ones, changed: protobuf by its fields, SQL by its words. There is no measure of coverage; instead,
//! an input that is answered in a new way (by its status and the words of its message) becomes one to change further.
//!
//! Each target runs in a process of its own, so that an overflowing stack ends only that. Without settings it tries a
//! fixed number of inputs, the same ones each time.
//!
//! | variable | means |
//! | --- | --- |
//! | `LANDFAST_FUZZ_SECONDS` | try inputs for so long, rather than a fixed number |
//! | `LANDFAST_FUZZ_SEED` | a number: other inputs than usual |
//! | `LANDFAST_FUZZ_REPLAY` | a file with one input, as a failure names it: try that alone |

mod mutate;
mod seeds;
mod targets;
mod watch;

#[test]
fn commands_and_actions_of_any_bytes_are_answered() {
    watch::run(
        "fuzz::commands_and_actions_of_any_bytes_are_answered",
        targets::Calls::new,
    );
}

#[test]
fn tickets_of_any_bytes_are_answered_and_only_ours_are_redeemed() {
    watch::run(
        "fuzz::tickets_of_any_bytes_are_answered_and_only_ours_are_redeemed",
        targets::Sealed::new,
    );
}

#[test]
fn statements_of_any_words_are_answered() {
    watch::run(
        "fuzz::statements_of_any_words_are_answered",
        targets::Statements::new,
    );
}
