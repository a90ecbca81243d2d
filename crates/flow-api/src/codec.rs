//! The codec of streams whose messages are passed on as they are.
//!
//! In: one gRPC message of a stream. Out: its bytes, not parsed; and the other way round. What is
//! no flow (the request) is encoded by prost as usual.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::observer::{GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest};

/// Encoded messages are gathered up to this size before they go to the transport: about ninety
/// flows, so that what a frame costs is shared by many.
const YIELD_BYTES: usize = 64_000;

/// A little above [`YIELD_BYTES`]: the message that passes the threshold still fits, and the
/// buffer never grows in the ordinary case.
const ENCODE_BUFFER_BYTES: usize = 66_000;

/// Carries [`Bytes`] untouched in the direction where `E` (sent) or `D` (received) is [`Bytes`].
///
/// A received [`Bytes`] is a view into the buffer it arrived in, together with its neighbours; who
/// keeps one for long should copy it.
#[derive(Debug)]
pub struct PassThrough<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for PassThrough<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Payload, D: Payload> Codec for PassThrough<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<E: Payload, D> Encoder for PassThrough<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.put(buf)
    }

    fn buffer_settings(&self) -> BufferSettings {
        E::encode_buffer()
    }
}

impl<E, D: Payload> Decoder for PassThrough<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::take(buf).map(Some)
    }
}

/// What [`PassThrough`] can carry.
pub trait Payload: sealed::Sealed + Sized + Send + 'static {
    /// Appends the encoded message.
    ///
    /// # Errors
    /// `internal` if the buffer cannot hold it, which a growing buffer never reports.
    fn put(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status>;

    /// Takes the whole of one received message.
    ///
    /// # Errors
    /// `internal` if the bytes are not such a message.
    fn take(buf: &mut DecodeBuf<'_>) -> Result<Self, Status>;

    /// How much is gathered before it is sent.
    fn encode_buffer() -> BufferSettings {
        BufferSettings::default()
    }
}

impl Payload for Bytes {
    fn put(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put_slice(&self);
        Ok(())
    }

    fn take(buf: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        Ok(buf.copy_to_bytes(buf.remaining()))
    }

    fn encode_buffer() -> BufferSettings {
        BufferSettings::new(ENCODE_BUFFER_BYTES, YIELD_BYTES)
    }
}

/// The requests whose answers stay encoded.
macro_rules! decoded_requests {
    ($($request:ident),*) => {$(
        impl sealed::Sealed for $request {}

        impl Payload for $request {
            fn put(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
                self.encode(buf)
                    .map_err(|error| Status::internal(error.to_string()))
            }

            fn take(buf: &mut DecodeBuf<'_>) -> Result<Self, Status> {
                Self::decode(buf).map_err(|error| Status::internal(error.to_string()))
            }
        }
    )*};
}

decoded_requests!(
    GetAgentEventsRequest,
    GetDebugEventsRequest,
    GetFlowsRequest
);

mod sealed {
    /// Keeps [`Payload`](super::Payload) to the types it was made for.
    pub trait Sealed {}
    impl Sealed for bytes::Bytes {}
}
