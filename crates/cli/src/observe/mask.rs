//! Field masks: which fields of a flow a server is asked to send.

use flow_api::FILE_DESCRIPTOR_SET;
use prost_types::{
    DescriptorProto, FieldMask, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// What the text formats show, as Hubble's client asks for it: without names. Servers that know of
/// them are asked for those by the by, see `extension::ask_for_names`.
pub(super) const SHOWN: [&str; 20] = [
    "time",
    "verdict",
    "ethernet",
    "IP",
    "l4",
    "source.identity",
    "source.namespace",
    "source.pod_name",
    "destination.identity",
    "destination.namespace",
    "destination.pod_name",
    "Type",
    "node_name",
    "l7",
    "event_type",
    "source_service",
    "destination_service",
    "is_reply",
    "Summary",
    "ip_trace_id",
];

/// The message that masks are for, as the descriptors spell it.
const FLOW: &str = ".flow.Flow";

/// A path that does not lead to a field of a flow.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("failed to construct field mask: proto: invalid path \"{0}\" for message \"flow.Flow\"")]
pub(crate) struct InvalidPath(pub(crate) String);

/// A mask of these paths.
///
/// # Errors
/// One of them names no field. A path may go through messages, but not through lists.
pub(crate) fn mask(paths: Vec<String>) -> Result<FieldMask, InvalidPath> {
    // Our own descriptors are well formed.
    let descriptors: FileDescriptorSet =
        prost::Message::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    match paths
        .iter()
        .find(|path| !leads_to_field(&descriptors, path))
    {
        Some(path) => Err(InvalidPath(path.clone())),
        None => Ok(FieldMask { paths }),
    }
}

fn leads_to_field(descriptors: &FileDescriptorSet, path: &str) -> bool {
    let mut within = Some(FLOW.to_owned());
    for name in path.split('.') {
        let Some(message) = within.and_then(|within| message(descriptors, &within)) else {
            return false;
        };
        let Some(field) = message.field.iter().find(|field| field.name() == name) else {
            return false;
        };
        within = (field.r#type() == Type::Message && field.label() != Label::Repeated)
            .then(|| field.type_name().to_owned());
    }
    true
}

/// The message of this full name. Nested messages are not looked for: no field of a flow has one.
pub(crate) fn message<'a>(
    descriptors: &'a FileDescriptorSet,
    name: &str,
) -> Option<&'a DescriptorProto> {
    let (package, simple) = name.strip_prefix('.')?.rsplit_once('.')?;
    descriptors
        .file
        .iter()
        .filter(|file| file.package() == package)
        .flat_map(|file| &file.message_type)
        .find(|message| message.name() == simple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_messages_by_their_wire_names() {
        for path in SHOWN
            .iter()
            .chain(&["l4.TCP.source_port", "is_reply.value", "time.seconds"])
        {
            assert!(mask(vec![(*path).to_owned()]).is_ok(), "{path}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for path in [
            "",
            "ip",
            "nope",
            "isReply",
            "source.labels.x",
            "l7.http.headers.key",
            "time.",
        ] {
            assert!(mask(vec![path.to_owned()]).is_err(), "{path}");
        }
    }
}
