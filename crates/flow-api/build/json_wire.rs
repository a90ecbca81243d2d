//! Writes what there is to know of each message to make JSON of its bytes: the fields by number, in
//! the order of declaration. `src/json/wire.rs` does the work.
//!
//! In: the compiled descriptors. Out: `json_wire.rs`.

use std::{error::Error, fmt::Write as _, fs, path::Path};

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::{PROTOS, names};

/// Fields with smaller numbers are found by a table. As in `src/json/wire.rs`.
const LOW: usize = 48;

pub(crate) fn generate(
    descriptors: &FileDescriptorSet,
    out_dir: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut code = String::new();
    for file in descriptors
        .file
        .iter()
        .filter(|file| PROTOS.contains(&file.name()))
    {
        for message in &file.message_type {
            put(&format!(".{}", file.package()), message, &mut code)?;
        }
    }
    fs::write(out_dir.join("json_wire.rs"), code)?;
    Ok(())
}

fn put(scope: &str, message: &DescriptorProto, code: &mut String) -> Result<(), Box<dyn Error>> {
    let proto_path = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        put(&proto_path, nested, code)?;
    }
    let mut low = [0usize; LOW];
    let mut fields = String::new();
    for (index, field) in message.field.iter().enumerate() {
        let number = usize::try_from(field.number())?;
        if let Some(place) = low.get_mut(number) {
            *place = index + 1;
        }
        let key = format!(",\"{}\":", field.name());
        // Those of a oneof exclude each other, and are told even if they have the default value.
        let group = field.oneof_index.map_or(0, |oneof| oneof + 1);
        let is_list = field.label() == Label::Repeated;
        writeln!(
            fields,
            "Field {{ number: {number}, key: {key:?}, group: {group}, is_list: {is_list}, \
             kind: {} }},",
            kind(field)
        )?;
    }
    let path = names::type_path(&proto_path);
    writeln!(
        code,
        "impl EncodedFields for {path} {{
            fn shape() -> &'static Shape {{
                static SHAPE: Shape = Shape {{ low: {low:?}, fields: &[{fields}] }};
                &SHAPE
            }}
        }}"
    )?;
    Ok(())
}

/// The kind of a field's value.
fn kind(field: &FieldDescriptorProto) -> String {
    let path = || names::type_path(field.type_name());
    match field.r#type() {
        Type::String => "Kind::Text".to_owned(),
        Type::Bool => "Kind::Bool".to_owned(),
        Type::Int32 => "Kind::Int32".to_owned(),
        Type::Int64 => "Kind::Int64".to_owned(),
        Type::Uint32 => "Kind::Uint32".to_owned(),
        Type::Uint64 => "Kind::Uint64".to_owned(),
        Type::Enum => format!("Kind::Enum(<{} as Enumeration>::name)", path()),
        Type::Message => match field.type_name() {
            ".google.protobuf.BoolValue" => "Kind::other::<bool>()".to_owned(),
            ".google.protobuf.Int32Value" => "Kind::other::<i32>()".to_owned(),
            ".google.protobuf.Int64Value" => "Kind::other::<i64>()".to_owned(),
            ".google.protobuf.UInt32Value" => "Kind::other::<u32>()".to_owned(),
            ".google.protobuf.UInt64Value" => "Kind::other::<u64>()".to_owned(),
            ".google.protobuf.DoubleValue" => "Kind::other::<f64>()".to_owned(),
            ".google.protobuf.StringValue" => "Kind::other::<String>()".to_owned(),
            well_known if well_known.starts_with(".google.protobuf.") => {
                format!(
                    "Kind::other::<prost_types::{}>()",
                    field.type_name().trim_start_matches(".google.protobuf.")
                )
            }
            _ => format!("Kind::Message(<{} as EncodedFields>::shape)", path()),
        },
        // Rare enough to be left to the messages themselves.
        _ => "Kind::Rare".to_owned(),
    }
}
