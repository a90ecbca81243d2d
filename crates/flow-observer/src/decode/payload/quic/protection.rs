//! Keys of Initial packets, and what is done with them (RFC 9001, 5).

use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey, quic},
    error::Unspecified,
    hkdf::{self, HKDF_SHA256, KeyType, Prk, Salt},
};

use super::{CUT, PayloadError, Version, malformed};

/// Where the sample for the header's mask begins, from the packet number: as if that were as long
/// as it can be.
const SAMPLE_AT: usize = 4;
const SAMPLE_LEN: usize = 16;
/// The bits of a long header's first byte that are encrypted; the last two of them are the length
/// of the packet number.
const PROTECTED_BITS: u8 = 0x0f;

/// What is fixed for a version: the salt, and the labels of key, nonce and header key.
struct Parameters {
    salt: [u8; 20],
    key: &'static str,
    iv: &'static str,
    header: &'static str,
}

/// RFC 9001, 5.2.
const V1: Parameters = Parameters {
    salt: [
        0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c,
        0xad, 0xcc, 0xbb, 0x7f, 0x0a,
    ],
    key: "quic key",
    iv: "quic iv",
    header: "quic hp",
};

/// RFC 9369, 3.3.
const V2: Parameters = Parameters {
    salt: [
        0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d,
        0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
    ],
    key: "quicv2 key",
    iv: "quicv2 iv",
    header: "quicv2 hp",
};

/// The keys of one side's Initial packets.
pub(super) struct Keys {
    packet: LessSafeKey,
    iv: [u8; NONCE_LEN],
    header: quic::HeaderProtectionKey,
}

impl Keys {
    /// What a client encrypts its first packets with.
    pub(super) fn of_client(version: Version, destination_id: &[u8]) -> Result<Self, PayloadError> {
        // The lengths are constants that the library takes, so there is always a key.
        Self::derive(version, destination_id, "client in").map_err(|_| PayloadError::UnknownKeys)
    }

    fn derive(version: Version, destination_id: &[u8], side: &str) -> Result<Self, Unspecified> {
        let parameters = match version {
            Version::V1 => V1,
            Version::V2 => V2,
        };
        let initial = Salt::new(HKDF_SHA256, &parameters.salt).extract(destination_id);
        let secret = expand(&initial, side, HKDF_SHA256, |okm| Ok(Prk::from(okm)))?;
        Ok(Self {
            packet: expand(&secret, parameters.key, &AES_128_GCM, |okm| {
                Ok(LessSafeKey::new(UnboundKey::from(okm)))
            })?,
            iv: expand(&secret, parameters.iv, Iv, |okm| {
                let mut iv = [0; NONCE_LEN];
                okm.fill(&mut iv).map(|()| iv)
            })?,
            header: expand(&secret, parameters.header, &quic::AES_128, |okm| {
                Ok(quic::HeaderProtectionKey::from(okm))
            })?,
        })
    }

    /// Decrypts a packet in place, given where its packet number begins, and returns its frames.
    pub(super) fn open<'a>(
        &self,
        packet: &'a mut [u8],
        number_at: usize,
    ) -> Result<&'a [u8], PayloadError> {
        let sample_at = number_at + SAMPLE_AT;
        // Shorter packets cannot be decrypted by anybody.
        let sample = packet
            .get(sample_at..sample_at + SAMPLE_LEN)
            .ok_or(malformed("packet length"))?;
        let mask = self
            .header
            .new_mask(sample)
            .map_err(|_| PayloadError::UnknownKeys)?;

        let [first, ..] = packet else { return Err(CUT) };
        *first ^= mask[0] & PROTECTED_BITS;
        let number_len = usize::from(*first & 0b11) + 1;
        let (header, sealed) = packet.split_at_mut(number_at + number_len);
        // The first packets of a connection: their numbers are small enough not to be shortened.
        let mut nonce = self.iv;
        let counter = &mut nonce[NONCE_LEN - number_len..];
        for ((byte, mask), counter) in header[number_at..].iter_mut().zip(&mask[1..]).zip(counter) {
            *byte ^= mask;
            *counter ^= *byte;
        }
        self.packet
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&*header),
                sealed,
            )
            .map(|frames| &*frames)
            .map_err(|_| PayloadError::UnknownKeys)
    }
}

#[cfg(test)]
impl Keys {
    /// Encrypts frames behind a header, which ends in the packet number from `number_at`.
    pub(super) fn seal(&self, header: Vec<u8>, number_at: usize, frames: &[u8]) -> Vec<u8> {
        let number_len = header.len() - number_at;
        let mut nonce = self.iv;
        for (byte, counter) in header[number_at..]
            .iter()
            .zip(&mut nonce[NONCE_LEN - number_len..])
        {
            *counter ^= byte;
        }
        let mut sealed = frames.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.packet
            .seal_in_place_append_tag(nonce, Aad::from(&header), &mut sealed)
            .unwrap();
        let mut packet = header;
        packet.extend(sealed);
        let sample_at = number_at + SAMPLE_AT;
        let sample = &packet[sample_at..sample_at + SAMPLE_LEN];
        let mask = self.header.new_mask(sample).unwrap();
        packet[0] ^= mask[0] & PROTECTED_BITS;
        for (byte, mask) in packet[number_at..number_at + number_len]
            .iter_mut()
            .zip(&mask[1..])
        {
            *byte ^= mask;
        }
        packet
    }
}

/// The length of a nonce, as the library wants to be told.
struct Iv;

impl KeyType for Iv {
    fn len(&self) -> usize {
        NONCE_LEN
    }
}

/// `HKDF-Expand-Label` with an empty context (RFC 8446, 7.1), as what `make` makes of it.
fn expand<K: KeyType, T>(
    secret: &Prk,
    label: &str,
    kind: K,
    make: impl FnOnce(hkdf::Okm<'_, K>) -> Result<T, Unspecified>,
) -> Result<T, Unspecified> {
    const PREFIX: &str = "tls13 ";

    // Both lengths are of constants, and far below the limits of their fields.
    let len = (kind.len() as u16).to_be_bytes();
    let label_len = [(PREFIX.len() + label.len()) as u8];
    let info = [
        &len,
        &label_len[..],
        PREFIX.as_bytes(),
        label.as_bytes(),
        &[0],
    ];
    make(secret.expand(&info, kind)?)
}
