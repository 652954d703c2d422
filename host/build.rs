//! Tells cargo to compile again when a file appears in a folder whose files travel in the binary (`cli/embedded.rs`).

fn main() {
    for folder in ["../sdk/rust", "../wit", "../plugins"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
