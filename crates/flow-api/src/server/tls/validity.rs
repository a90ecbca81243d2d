//! Until when a certificate holds: the one thing about it that the TLS library does not tell.
//!
//! ```text
//! Certificate ── TBSCertificate ─┬─ [0] version, where there is one
//!                                ├─ serial number
//!                                ├─ signature algorithm
//!                                ├─ issuer
//!                                └─ Validity ─┬─ not before
//!                                             └─ not after
//! ```
//! (RFC 5280, section 4.1; DER as of X.690.)

use chrono::NaiveDateTime;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The end of its validity, seconds since 1970; `None` for anything that does not look like a
/// certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (tbs, _) = element(certificate, SEQUENCE)?;
    let rest = element(tbs, VERSION).map_or(tbs, |(_, rest)| rest);
    let (_, rest) = element(rest, INTEGER)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, after) = time(validity)?;
    let (not_after, _) = time(after)?;
    Some(not_after)
}

/// The contents of the next element, if it is of this kind, and what comes after it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&found, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = if first < 0x80 {
        (usize::from(first), bytes)
    } else {
        let (digits, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        let length = digits
            .iter()
            .fold(0, |sum, &digit| (sum << 8) | usize::from(digit));
        (length, bytes)
    };
    (found == kind).then(|| bytes.split_at_checked(length))?
}

/// `YYMMDDhhmmssZ` with years from 1950 on, or `YYYYMMDDhhmmssZ`.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest) = element(bytes, UTC_TIME)
        .and_then(|(digits, rest)| {
            let text = str::from_utf8(digits).ok()?;
            let year: u32 = text.get(..2)?.parse().ok()?;
            let century = if year < 50 { "20" } else { "19" };
            Some((format!("{century}{text}"), rest))
        })
        .or_else(|| {
            let (digits, rest) = element(bytes, GENERALIZED_TIME)?;
            Some((str::from_utf8(digits).ok()?.to_owned(), rest))
        })?;
    let time = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some((time.and_utc().timestamp(), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["node".to_owned()]).unwrap();
        params.not_before = date_time_ymd(1990, 1, 2);
        params.not_after = date_time_ymd(year, 3, 4);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_found_in_both_forms_of_time() {
        // The first is a UTCTime, the second too late for one.
        assert_eq!(not_after(&certificate(2031)), Some(1_930_348_800));
        assert_eq!(not_after(&certificate(2077)), Some(3_382_041_600));
    }

    #[test]
    fn what_is_cut_or_changed_is_no_certificate_and_no_panic() {
        let whole = certificate(2031);
        for length in 0..150.min(whole.len()) {
            assert_eq!(not_after(&whole[..length]), None);
        }
        for at in 0..whole.len() {
            for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                std::hint::black_box(not_after(&changed));
            }
        }
    }
}
