//! Compiles `malloc.c` for the program, where the allocator is glibc's, and lists the files of the page.
//!
//! The object file itself is handed to the linker: of a library it would leave out what nobody calls.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=malloc.c");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let target = |what: &str| variable(&format!("CARGO_CFG_TARGET_{what}"));
    if target("OS") == "linux" && target("ENV") == "gnu" {
        for object in cc::Build::new().file("malloc.c").compile_intermediates() {
            println!("cargo:rustc-link-arg-bins={}", object.display());
        }
    }
    let ui = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../../ui");
    std::fs::write(Path::new(&variable("OUT_DIR")).join("ui.rs"), table(&ui)?)
}

/// The files of a folder as a table for `web::files`: each with its path below the page's root.
fn table(ui: &Path) -> io::Result<String> {
    let mut files = vec![];
    list(ui, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let path = file.strip_prefix(ui).unwrap_or(&file).display().to_string().replace('\\', "/");
        // Writing to a text cannot fail.
        let _ = writeln!(table, "    ({:?}, include_bytes!({:?})),", format!("/{path}"), file.display().to_string());
    }
    Ok(table + "]\n")
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", folder.display());
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            list(&path, files)?;
        } else if [".html", ".js", ".css", ".svg", ".LICENSE"].iter().any(|end| name.ends_with(end)) {
            files.push(path);
        }
    }
    Ok(())
}
