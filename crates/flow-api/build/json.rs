//! Writes the JSON mapping of every message: which fields there are, what they are called and of
//! which kind they are. How a kind is written and read is ordinary code, in `src/json/`.
//!
//! In: the compiled descriptors. Out: `json.rs`, which `src/json/generated.rs` includes.

use std::{error::Error, fmt::Write as _, fs, path::Path};

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::{PROTOS, names};

/// The reader keeps a set of the fields it has seen in one 64-bit word.
const MAX_FIELDS: usize = 64;

pub(crate) fn generate(
    descriptors: &FileDescriptorSet,
    out_dir: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut code = Code::default();
    for file in descriptors
        .file
        .iter()
        .filter(|file| PROTOS.contains(&file.name()))
    {
        let scope = format!(".{}", file.package());
        for enumeration in &file.enum_type {
            code.enumeration(&scope, enumeration.name())?;
        }
        for message in &file.message_type {
            code.message(&scope, message)?;
        }
    }
    fs::write(out_dir.join("json.rs"), code.finish()?)?;
    Ok(())
}

/// The file under construction.
#[derive(Default)]
struct Code {
    text: String,
    /// Arms of the look-up from a message's full name to its mapping.
    any_types: String,
    /// And to its shape.
    shapes: String,
}

impl Code {
    fn enumeration(&mut self, scope: &str, name: &str) -> Result<(), Box<dyn Error>> {
        let path = names::type_path(&format!("{scope}.{name}"));
        writeln!(
            self.text,
            "impl Enumeration for {path} {{
                fn name(number: i32) -> Option<&'static str> {{
                    Self::try_from(number).ok().map(|value| value.as_str_name())
                }}
                fn number(name: &str) -> Option<i32> {{
                    Self::from_str_name(name).map(i32::from)
                }}
            }}"
        )?;
        Ok(())
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) -> Result<(), Box<dyn Error>> {
        let proto_path = format!("{scope}.{}", message.name());
        if message.field.len() > MAX_FIELDS {
            return Err(format!("{proto_path} has more than {MAX_FIELDS} fields").into());
        }
        for enumeration in &message.enum_type {
            self.enumeration(&proto_path, enumeration.name())?;
        }
        for nested in &message.nested_type {
            self.message(&proto_path, nested)?;
        }

        let fields = message
            .field
            .iter()
            .map(|field| Field::new(&proto_path, message, field))
            .collect::<Result<Vec<_>, _>>()?;
        let path = names::type_path(&proto_path);
        self.writer(&path, &fields)?;
        self.reader(&path, &fields)?;
        writeln!(
            self.any_types,
            "{:?} => AnyType::message::<{path}>(),",
            proto_path.trim_start_matches('.')
        )?;
        writeln!(
            self.shapes,
            "{:?} => <{path} as ReadFields>::SHAPE,",
            proto_path.trim_start_matches('.')
        )?;
        Ok(())
    }

    fn writer(&mut self, path: &str, fields: &[Field<'_>]) -> Result<(), Box<dyn Error>> {
        writeln!(
            self.text,
            "impl WriteFields for {path} {{ fn write_fields(&self, object: &mut Object<'_>) {{"
        )?;
        for (index, field) in fields.iter().enumerate() {
            let Some(oneof) = &field.oneof else {
                let (method, key, member) = (field.method(), field.next_key(), field.member());
                let reference = if field.is_singular_enum() { "" } else { "&" };
                writeln!(
                    self.text,
                    "object.{method}({key:?}, {reference}self.{member});"
                )?;
                continue;
            };
            // The members of a oneof stand together; the first one writes for all of them.
            if index
                .checked_sub(1)
                .is_some_and(|before| fields[before].oneof == field.oneof)
            {
                continue;
            }
            writeln!(self.text, "match &self.{} {{ None => {{}}", oneof.member)?;
            for member in fields.iter().filter(|member| member.oneof == field.oneof) {
                let (variant, key) = (member.variant(oneof), member.next_key());
                writeln!(
                    self.text,
                    "Some({variant}(value)) => object.present({key:?}, value),"
                )?;
            }
            writeln!(self.text, "}}")?;
        }
        writeln!(self.text, "}} }}")?;
        Ok(())
    }

    fn reader(&mut self, path: &str, fields: &[Field<'_>]) -> Result<(), Box<dyn Error>> {
        writeln!(
            self.text,
            "impl ReadFields for {path} {{ const SHAPE: &'static Shape = &Shape(&["
        )?;
        for field in fields {
            let (key, kind, presence) = (field.key(), field.kind(), field.presence());
            writeln!(self.text, "Field::new({key:?}, {kind}){presence},")?;
        }
        writeln!(
            self.text,
            "]);
                fn field(name: &str) -> Option<usize> {{ match name {{"
        )?;
        for (index, field) in fields.iter().enumerate() {
            let (name, json_name) = (field.descriptor.name(), field.descriptor.json_name());
            let alternative = if name == json_name {
                String::new()
            } else {
                format!(" | {json_name:?}")
            };
            writeln!(self.text, "{name:?}{alternative} => Some({index}),")?;
        }
        writeln!(
            self.text,
            "_ => None }} }}
            fn read_field<E: Entry>(&mut self, field: usize, entry: E)
            -> Result<(), E::Error> {{ match field {{"
        )?;
        for (index, field) in fields.iter().enumerate() {
            match &field.oneof {
                Some(oneof) => {
                    let (member, name, variant) = (&oneof.member, oneof.name, field.variant(oneof));
                    writeln!(
                        self.text,
                        "{index} => entry.variant(&mut self.{member}, {name:?}, {variant}),"
                    )?;
                }
                None => {
                    let (method, member) = (field.method(), field.member());
                    writeln!(self.text, "{index} => entry.{method}(&mut self.{member}),")?;
                }
            }
        }
        writeln!(
            self.text,
            "_ => entry.skip() }} }} }}
            impl FromJson for {path} {{
                fn read<'de, D: Deserializer<'de>>(value: D, reader: &mut Reader)
                -> Result<Found<Self>, D::Error> {{ read_message(value, reader) }}
                fn read_canonical(walker: &mut Walker<'_>, fields: &Fields) -> Option<Self> {{
                    walker.message(fields)
                }}
            }}"
        )?;
        Ok(())
    }

    fn finish(mut self) -> Result<String, Box<dyn Error>> {
        writeln!(
            self.text,
            "pub(super) fn any_type(name: &str) -> Option<AnyType> {{
                Some(match name {{ {} _ => return None }})
            }}
            pub(super) fn shape(name: &str) -> Option<&'static Shape> {{
                Some(match name {{ {} _ => return None }})
            }}",
            self.any_types, self.shapes
        )?;
        Ok(self.text)
    }
}

/// One field, and what the generated code calls it.
struct Field<'a> {
    descriptor: &'a FieldDescriptorProto,
    oneof: Option<Oneof<'a>>,
}

/// The oneof that a field belongs to.
#[derive(PartialEq)]
struct Oneof<'a> {
    /// In the `.proto`.
    name: &'a str,
    /// In the message's struct.
    member: String,
    /// The path of its enum.
    path: String,
}

impl<'a> Field<'a> {
    /// # Errors
    /// For kinds of fields that the contract does not use, so that the mapping lacks them.
    fn new(
        message_path: &str,
        message: &'a DescriptorProto,
        descriptor: &'a FieldDescriptorProto,
    ) -> Result<Self, String> {
        let name = descriptor.name();
        let known = match descriptor.r#type() {
            Type::Bool
            | Type::Double
            | Type::Enum
            | Type::Int32
            | Type::Int64
            | Type::String
            | Type::Uint32
            | Type::Uint64 => true,
            Type::Message => !message.nested_type.iter().any(|nested| {
                nested
                    .options
                    .as_ref()
                    .is_some_and(|options| options.map_entry())
            }),
            _ => false,
        };
        if !known || descriptor.proto3_optional() {
            return Err(format!(
                "{message_path}.{name}: no JSON mapping for this kind of field"
            ));
        }
        let declared = descriptor
            .oneof_index
            .and_then(|index| usize::try_from(index).ok());
        let oneof = declared
            .and_then(|index| message.oneof_decl.get(index))
            .map(|oneof| {
                let name = oneof.name();
                Oneof {
                    name,
                    member: names::field(name),
                    path: names::oneof_path(message_path, name),
                }
            });
        if oneof.is_some() && descriptor.r#type() == Type::Enum {
            return Err(format!(
                "{message_path}.{name}: no JSON mapping for an enum in a oneof"
            ));
        }
        Ok(Self { descriptor, oneof })
    }

    /// The method that writes it, and the one that reads it.
    fn method(&self) -> String {
        let repeated = self.descriptor.label() == Label::Repeated;
        match (self.descriptor.r#type(), repeated) {
            (Type::Enum, _) => {
                let method = if repeated {
                    "enumerations"
                } else {
                    "enumeration"
                };
                format!(
                    "{method}::<{}>",
                    names::type_path(self.descriptor.type_name())
                )
            }
            (_, true) => "repeated".to_owned(),
            (Type::Message, false) => "optional".to_owned(),
            (_, false) => "singular".to_owned(),
        }
    }

    /// The kind of its values, as the canonical reader distinguishes them.
    fn kind(&self) -> String {
        let kind = match self.descriptor.r#type() {
            Type::Bool => "Bool",
            Type::Int32 => "Int32",
            Type::Int64 => "Int64",
            Type::String => "Text",
            Type::Uint32 => "Uint32",
            Type::Uint64 => "Uint64",
            Type::Enum => {
                let path = names::type_path(self.descriptor.type_name());
                return format!("Kind::Enum(<{path} as Enumeration>::number)");
            }
            Type::Message => match self.descriptor.type_name() {
                ".google.protobuf.Any" => "Any",
                ".google.protobuf.BoolValue" => "Bool",
                ".google.protobuf.Int32Value" => "Int32",
                ".google.protobuf.Timestamp" => "Time",
                ".google.protobuf.UInt32Value" => "Uint32",
                name if name.starts_with(".google.") => "Other",
                name => {
                    let path = names::type_path(name);
                    return format!("Kind::Message(|| <{path} as ReadFields>::SHAPE)");
                }
            },
            _ => "Other",
        };
        format!("Kind::{kind}")
    }

    /// How it says that it is there: by what is called on its shape.
    fn presence(&self) -> String {
        match (&self.oneof, self.method().as_str()) {
            (Some(_), _) => ".member()".to_owned(),
            (None, "repeated") => ".list()".to_owned(),
            (None, "optional") => ".optional()".to_owned(),
            (None, method) if method.starts_with("enumerations") => ".list()".to_owned(),
            (None, _) => String::new(),
        }
    }

    fn is_singular_enum(&self) -> bool {
        self.descriptor.r#type() == Type::Enum && self.descriptor.label() != Label::Repeated
    }

    /// The name as it stands behind another field.
    fn next_key(&self) -> String {
        format!(",{}", self.key())
    }

    /// The name as it stands in the output, with the colon.
    fn key(&self) -> String {
        format!("\"{}\":", self.descriptor.name())
    }

    fn member(&self) -> String {
        names::field(self.descriptor.name())
    }

    fn variant(&self, oneof: &Oneof<'_>) -> String {
        format!("{}::{}", oneof.path, names::variant(self.descriptor.name()))
    }
}
