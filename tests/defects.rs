//! The incumbent's defects (D1-D20), each as a test that would be red on it: `cargo test d0`, `cargo test d1`. Some are
//! beside what they are about (settings, health, bot). The table with those that do not apply: docs/incumbent-defects.md.

mod deliveries;
mod people;
mod trainings;
