//! Of the statements beside the code, the compiler knows too few: sqlx's `query_file_scalar!` does not tell it of its file.

fn main() {
    println!("cargo:rerun-if-changed=src/sql");
}
