//! Compiles `malloc.c` for the program, where the allocator is glibc's.
//!
//! The object file itself is handed to the linker: of a library it would leave out what nobody calls.

fn main() {
    println!("cargo:rerun-if-changed=malloc.c");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        for object in cc::Build::new().file("malloc.c").compile_intermediates() {
            println!("cargo:rustc-link-arg-bins={}", object.display());
        }
    }
}
