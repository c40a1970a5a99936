//! The incumbent's defects (D1-D20), each as a test that would be red on the incumbent: `cargo test d0`,
//! `cargo test d1`. Some stand beside their subject (settings, health, bot). docs/incumbent-defects.md has
//! the whole table, with those that do not apply.

mod deliveries;
mod people;
mod pictures;
mod trainings;
