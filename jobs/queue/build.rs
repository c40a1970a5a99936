//! Rebuilds the crate when a statement in `src/sql` changes: sqlx's `query_file_scalar!` does not
//! tell the compiler which file it read.

fn main() {
    println!("cargo:rerun-if-changed=src/sql");
}
