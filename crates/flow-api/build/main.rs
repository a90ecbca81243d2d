//! Compiles `proto/` without `protoc`: messages and stubs by prost and tonic, the JSON mapping by
//! our own generator.

mod json;
mod json_wire;
mod names;
mod stubs;

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PROTOS: [&str; 5] = [
    "flow.proto",
    "observer.proto",
    "palomar.proto",
    "peer.proto",
    "relay.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let proto_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", proto_dir.display());

    let descriptors = protox::compile(PROTOS, [&proto_dir])?;
    fs::write(out_dir.join("descriptors.bin"), descriptors.encode_to_vec())?;
    stubs::generate(&descriptors, &out_dir)?;
    json::generate(&descriptors, &out_dir)?;
    json_wire::generate(&descriptors, &out_dir)?;
    Ok(())
}
