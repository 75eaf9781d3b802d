//! Link arguments of the module: it stays loaded, every symbol is resolved at link time, its name is fixed.

fn main() {
    for argument in ["-Wl,-z,nodelete", "-Wl,-z,defs", "-Wl,-soname,pam_ivalt.so"] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
