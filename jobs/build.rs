//! A new file in `migrations/` must reach the binary, and the compiler only watches those it already knows. Of the
//! statements beside the code it knows too few: sqlx's `query_file_scalar!` does not tell it of its file.

fn main() {
    for folder in ["../migrations", "src/store/sql"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
