//! A new file in `migrations/` must reach the binary, and the compiler only watches those it already knows.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
