//! One peer's answer to a call: pieces of a stream in, encoded messages out.
//!
//! tonic's own stream copies each message into a buffer and hands them out one by one. Here they are
//! views into the pieces that came, and as many come out at a time as a piece holds.

use bytes::{Buf as _, Bytes, BytesMut};
use flow_api::frames::{PREFIX, put_frame};
use flow_api::observer::GetFlowsRequest;
use flow_api::resume;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tower::{Service as _, ServiceExt as _};

use crate::call::Method;
use crate::via;

/// The largest message that is taken, as in gRPC where nobody says otherwise. Flows have 700 bytes.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;

/// An answer that has begun.
#[derive(Debug)]
pub(crate) struct Answer {
    body: Body,
    cutter: Cutter,
    goes_on: bool,
    is_end: bool,
    trailers: Option<MetadataMap>,
}

impl Answer {
    /// Asks, and waits until the peer begins to answer.
    ///
    /// # Errors
    /// When the peer refuses, or the connection fails; the latter with a source.
    pub(crate) async fn to(
        mut channel: Channel,
        method: Method,
        request: Request<GetFlowsRequest>,
    ) -> Result<Self, Status> {
        let (metadata, _, message) = request.into_parts();
        let mut frame = Vec::new();
        put_frame(&mut frame, |out| out.extend(method.encode(&message)));
        let mut request = http::Request::new(Body::new(Full::new(Bytes::from(frame))));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(method.path());
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = metadata.into_headers();
        let own = [(TE, "trailers"), (CONTENT_TYPE, "application/grpc")];
        for (name, value) in own {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert(name, value);
        }
        let broken = |error: tonic::transport::Error| Status::from_error(error.into());
        let service = channel.ready().await.map_err(broken)?;
        let (head, body) = service.call(request).await.map_err(broken)?.into_parts();
        let headers = MetadataMap::from_headers(head.headers);
        let mut answer = Self {
            body,
            cutter: Cutter::default(),
            goes_on: resume::is_accepted(&headers),
            is_end: via::is_end(&headers),
            trailers: None,
        };
        if Status::from_header_map(headers.as_ref()).is_some() {
            // All it has to say came at once.
            answer.end(headers.into_headers())?;
        } else if head.status != StatusCode::OK {
            return Err(no_grpc(head.status));
        }
        Ok(answer)
    }

    /// Waits for the next piece and appends its messages, which may be none. `false` at the end.
    ///
    /// Nothing is lost when this is dropped before it comes back.
    ///
    /// # Errors
    /// With the status that the stream ended with, or when it broke; the latter with a source.
    pub(crate) async fn next(&mut self, messages: &mut Vec<Bytes>) -> Result<bool, Status> {
        if self.trailers.is_some() {
            return Ok(false);
        }
        let Some(frame) = self.body.frame().await else {
            return Err(Status::unknown(
                "the peer ended its answer without a status",
            ));
        };
        match frame?.into_data() {
            Ok(piece) => self.cutter.cut(piece, messages)?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.end(trailers)?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether the peer goes on after the flow that was named (see [`resume`]).
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Whether there is nothing in it, nor will be when it is asked for again (see [`via`]).
    pub(crate) fn is_end(&self) -> bool {
        self.is_end
    }

    /// How many messages were left out since this was asked last.
    pub(crate) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.cutter.left_out)
    }

    /// What came with the end of the stream.
    pub(crate) fn trailers(&self) -> Option<&MetadataMap> {
        self.trailers.as_ref()
    }

    fn end(&mut self, trailers: HeaderMap) -> Result<(), Status> {
        match Status::from_header_map(&trailers) {
            Some(status) if status.code() != Code::Ok => Err(status),
            Some(_) if self.cutter.is_within_message() => Err(Status::internal(
                "the peer ended its answer within a message",
            )),
            Some(_) => {
                self.trailers = Some(MetadataMap::from_headers(trailers));
                Ok(())
            }
            None => Err(Status::unknown(
                "the peer ended its answer without a status",
            )),
        }
    }
}

/// What an answer that is none of gRPC means to gRPC.
fn no_grpc(status: StatusCode) -> Status {
    let code = match status {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("no gRPC server: HTTP status {status}"))
}

/// Cuts a stream into messages, wherever it came in pieces.
///
/// Messages that nobody could read, since they are too long or compressed, are stepped over: the next one
/// is as good as any, and a peer that is asked once more for what comes after its last flow would only
/// send them again.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// The beginning of a message, prefix included.
    begun: BytesMut,
    /// How much is still to come of a message that is left out.
    unwanted: usize,
    /// Messages that were left out.
    left_out: u64,
}

impl Cutter {
    /// Appends the messages that end in this piece.
    ///
    /// # Errors
    /// When there is something that no message begins with. Nothing after it can be read.
    pub(crate) fn cut(
        &mut self,
        mut piece: Bytes,
        messages: &mut Vec<Bytes>,
    ) -> Result<(), Status> {
        self.step_over(&mut piece);
        while !self.begun.is_empty() && !piece.is_empty() {
            let wanted = match self.begun.first_chunk() {
                Some(prefix) => PREFIX + Prefix::read(*prefix)?.length,
                None => PREFIX,
            };
            let part = piece.split_to((wanted - self.begun.len()).min(piece.len()));
            self.begun.extend_from_slice(&part);
            let Some(prefix) = self.begun.first_chunk() else {
                break;
            };
            let prefix = Prefix::read(*prefix)?;
            if !prefix.is_taken() {
                self.begun.clear();
                self.leave_out(prefix, &mut piece);
            } else if self.begun.len() == PREFIX + prefix.length {
                let mut message = std::mem::take(&mut self.begun);
                message.advance(PREFIX);
                messages.push(message.freeze());
            }
        }
        while let Some(prefix) = piece.first_chunk() {
            let prefix = Prefix::read(*prefix)?;
            if !prefix.is_taken() {
                piece.advance(PREFIX);
                self.leave_out(prefix, &mut piece);
                continue;
            }
            if piece.len() < PREFIX + prefix.length {
                break;
            }
            piece.advance(PREFIX);
            messages.push(piece.split_to(prefix.length));
        }
        self.begun.extend_from_slice(&piece);
        Ok(())
    }

    fn leave_out(&mut self, prefix: Prefix, piece: &mut Bytes) {
        self.left_out += 1;
        self.unwanted = prefix.length;
        self.step_over(piece);
    }

    fn step_over(&mut self, piece: &mut Bytes) {
        let part = self.unwanted.min(piece.len());
        piece.advance(part);
        self.unwanted -= part;
    }

    fn is_within_message(&self) -> bool {
        !self.begun.is_empty() || self.unwanted > 0
    }
}

/// What stands before a message.
#[derive(Clone, Copy, Debug)]
struct Prefix {
    is_compressed: bool,
    length: usize,
}

impl Prefix {
    fn read([compressed, length @ ..]: [u8; PREFIX]) -> Result<Self, Status> {
        if compressed > 1 {
            return Err(Status::internal(format!(
                "the peer sent what is no message: it begins with {compressed}, and not with 0 or 1"
            )));
        }
        Ok(Self {
            // Nobody has asked for that.
            is_compressed: compressed == 1,
            length: usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX),
        })
    }

    fn is_taken(self) -> bool {
        !self.is_compressed && self.length <= MAX_MESSAGE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> Result<Vec<Bytes>, Status> {
        let mut cutter = Cutter::default();
        let mut messages = Vec::new();
        for piece in pieces {
            cutter.cut(Bytes::copy_from_slice(piece), &mut messages)?;
        }
        Ok(messages)
    }

    #[test]
    fn what_is_too_long_or_compressed_is_stepped_over_however_it_is_cut() {
        let mut stream = Vec::new();
        let mut put = |compressed: u8, length: usize| {
            let length = u32::try_from(length).unwrap();
            stream.push(compressed);
            stream.extend(length.to_be_bytes());
            stream.resize(stream.len() + length as usize, 7);
        };
        for (compressed, length) in [(0, 3), (1, 300), (0, MAX_MESSAGE + 1), (1, 0), (0, 2)] {
            put(compressed, length);
        }
        for size in [3, 5, 16_384, stream.len()] {
            let mut cutter = Cutter::default();
            let mut messages = Vec::new();
            let mut most = 0;
            for piece in stream.chunks(size) {
                let piece = Bytes::copy_from_slice(piece);
                cutter.cut(piece, &mut messages).unwrap();
                most = most.max(cutter.begun.capacity());
            }
            let lengths: Vec<usize> = messages.iter().map(Bytes::len).collect();
            assert_eq!(lengths, [3, 2], "pieces of {size}");
            assert_eq!(cutter.left_out, 3);
            assert!(!cutter.is_within_message());
            assert!(most < 1024, "{most} bytes are kept of what nobody wants");
        }
        let mut cutter = Cutter::default();
        let begun = Bytes::from_static(&[1, 0, 0, 0, 5, 7]);
        cutter.cut(begun, &mut Vec::new()).unwrap();
        assert!(cutter.is_within_message());
    }

    #[test]
    fn what_no_message_begins_with_is_refused() {
        let prefix = [2, 0, 0, 0, 1];
        assert_eq!(cut(&[&prefix]).unwrap_err().code(), Code::Internal);
        let (a, b) = prefix.split_at(2);
        assert_eq!(cut(&[a, b]).unwrap_err().code(), Code::Internal);
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_are_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
            cuts in proptest::collection::vec(0..40usize, 0..60),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                put_frame(&mut stream, |out| out.extend_from_slice(message));
            }
            let mut pieces = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let out = cut(&pieces).unwrap();
            prop_assert_eq!(out, messages);
        }

        #[test]
        fn any_bytes_are_cut_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(messages) = cut(&[&bytes]) {
                prop_assert!(messages.iter().map(Bytes::len).sum::<usize>() <= bytes.len());
            }
        }
    }
}
