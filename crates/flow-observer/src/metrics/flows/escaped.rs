//! Values of labels on a page.

use std::{borrow::Cow, fmt};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// The value of a label on a page: what ends a value or a line is escaped, which the encoder leaves to
/// us. Names and requests are what strangers send.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Escaped<'a>(pub(crate) Cow<'a, str>);

impl EncodeLabelValue for Escaped<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        use fmt::Write as _;
        let mut rest = &*self.0;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            let (plain, special) = rest.split_at(at);
            encoder.write_str(plain)?;
            encoder.write_str(match special.as_bytes().first() {
                Some(b'\n') => "\\n",
                Some(b'"') => "\\\"",
                _ => "\\\\",
            })?;
            rest = special.get(1..).unwrap_or_default();
        }
        encoder.write_str(rest)
    }
}
