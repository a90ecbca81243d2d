//! The `*_port` fields: decimal numbers.

use crate::error::PortError;

/// Reads digits only; a sign is refused, leading zeros are not.
pub(crate) fn parse(entry: &str) -> Result<u16, PortError> {
    if entry.is_empty() {
        return Err(PortError::Syntax);
    }
    let mut port = 0_u16;
    for byte in entry.bytes() {
        if !byte.is_ascii_digit() {
            return Err(PortError::Syntax);
        }
        port = port
            .checked_mul(10)
            .and_then(|port| port.checked_add(u16::from(byte - b'0')))
            .ok_or(PortError::OutOfRange)?;
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_decimal_number_of_16_bits() {
        for (entry, expected) in [
            ("0", Ok(0)),
            ("080", Ok(80)),
            ("65535", Ok(65535)),
            ("65536", Err(PortError::OutOfRange)),
            ("99999999999999999999", Err(PortError::OutOfRange)),
            ("", Err(PortError::Syntax)),
            ("http", Err(PortError::Syntax)),
            ("-1", Err(PortError::Syntax)),
            ("+80", Err(PortError::Syntax)),
            ("0x50", Err(PortError::Syntax)),
            ("80 ", Err(PortError::Syntax)),
        ] {
            assert_eq!(parse(entry), expected, "{entry}");
        }
    }
}
