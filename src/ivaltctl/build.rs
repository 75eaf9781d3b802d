//! Has the linker read `glibc-2.34.ld`, which says why.

fn main() {
    let folder = env!("CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed=glibc-2.34.ld");
    println!("cargo::rustc-link-arg-bins={folder}/glibc-2.34.ld");
}
