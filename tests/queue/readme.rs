//! The engine's README: its example is a complete program that does what the README says.

use jobs::database::Database;

use crate::support::Db;

#[path = "../../jobs/queue/examples/welcome.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run`")]
mod welcome;

#[tokio::test]
async fn the_example_of_the_engines_readme_runs_its_job() {
    let db = Db::new().await;
    let welcomed = welcome::welcome(&Database::from(&db.pool)).await;
    assert_eq!(welcomed.unwrap(), 42);
}

#[test]
fn the_readme_of_the_engine_shows_the_example_as_it_is() {
    let readme = include_str!("../../jobs/queue/README.md");
    let example = include_str!("../../jobs/queue/examples/welcome.rs");
    let shown = readme.split("```rust,ignore\n").skip(1);
    let mut blocks = 0;
    for block in shown.map(|rest| rest.split("```").next().unwrap_or_default()) {
        for line in block.lines().map(str::trim).filter(|line| !line.is_empty()) {
            assert!(example.lines().any(|known| known.trim() == line), "{line}");
        }
        blocks += 1;
    }
    assert_eq!(blocks, 2);
}
