//! Generates the prost types and the descriptor set from the vendored .proto files. No protoc is needed.

use prost::Message as _;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = ["logs", "trace", "metrics"]
        .map(|signal| format!("opentelemetry/proto/collector/{signal}/v1/{signal}_service.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("descriptors.bin"), descriptors.encode_to_vec())?;
    prost_build::Config::new().disable_comments(["."]).include_file("otlp.rs").compile_fds(descriptors)?;
    // Apart from OTLP's, whose descriptors are held against the tables of `wire`.
    let loki = protox::compile(["loki/push.proto"], ["proto"])?;
    prost_build::Config::new().disable_comments(["."]).compile_fds(loki)?;
    Ok(())
}
