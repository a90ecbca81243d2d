//! Who may see what: a file of tokens in, a [`Grant`] for each call out.
//!
//! A token may be bound to namespaces. Its flows are then those that begin or end in one of them, which
//! is a filter that is added to the client's own, and of an end elsewhere little is shown; what cannot
//! be filtered is refused or left out. A call whose token is taken out of the file ends.

mod file;
mod redact;
mod restrict;

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flow_api::observer::{GetFlowsRequest, GetNamespacesResponse, GetNodesResponse};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use ring::digest::{SHA256, digest};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tower::Service;

use crate::audit::Audit;

pub use file::TokensError;
pub(crate) use file::TokensFile;

/// Asked by those who have no token: they hear nothing but whether the relay is well.
const OPEN_SERVICE: &str = "/grpc.health.v1.Health/";

/// The SHA-256 of a token: what is kept of it.
type Digest = [u8; 32];

/// What one token allows.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Whose token it is, for the audit log.
    pub(crate) name: String,
    /// Which namespaces; all for `None`.
    namespaces: Option<Vec<String>>,
    /// Cancelled when the token is taken away, or means something else.
    pub(crate) revoked: CancellationToken,
}

impl Grant {
    /// Makes a request one for what may be seen.
    ///
    /// # Errors
    /// When nothing of what it asks for may be.
    pub(crate) fn restrict(&self, request: &mut GetFlowsRequest) -> Result<(), Status> {
        let Some(namespaces) = &self.namespaces else {
            return Ok(());
        };
        let asked = std::mem::take(&mut request.whitelist);
        request.whitelist = restrict::wanted(asked, namespaces);
        if request.whitelist.is_empty() {
            return Err(self.denied("flows between these pods"));
        }
        let asked = std::mem::take(&mut request.blacklist);
        request.blacklist = restrict::unwanted(asked, namespaces);
        redact::complete(request.field_mask.as_mut());
        Ok(())
    }

    /// A response without what may not be seen.
    pub(crate) fn redact(&self, response: Bytes) -> Bytes {
        match &self.namespaces {
            None => response,
            Some(namespaces) => redact::response(response, namespaces),
        }
    }

    /// Lets those pass that may see what has no namespace.
    ///
    /// # Errors
    /// For all others.
    pub(crate) fn sees_all(&self, what: &str) -> Result<(), Status> {
        match self.namespaces {
            None => Ok(()),
            Some(_) => Err(self.denied(what)),
        }
    }

    /// Leaves out the namespaces that may not be seen.
    pub(crate) fn redact_namespaces(&self, answer: &mut GetNamespacesResponse) {
        if let Some(namespaces) = &self.namespaces {
            answer
                .namespaces
                .retain(|it| namespaces.contains(&it.namespace));
        }
    }

    /// Leaves out where nodes are.
    pub(crate) fn redact_nodes(&self, answer: &mut GetNodesResponse) {
        if self.namespaces.is_some() {
            for node in &mut answer.nodes {
                node.address.clear();
                node.tls = None;
            }
        }
    }

    fn denied(&self, what: &str) -> Status {
        let namespaces = self.namespaces.as_deref().unwrap_or_default().join(", ");
        Status::permission_denied(format!(
            "token of {:?} does not allow {what}: it is for namespaces {namespaces}",
            self.name
        ))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.namespaces == other.namespaces
    }
}

/// The tokens of this moment.
#[derive(Debug)]
pub(crate) struct Access {
    grants: ArcSwap<file::Grants>,
}

impl Access {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or is broken.
    pub(crate) fn open(path: &Path) -> Result<(Arc<Self>, TokensFile), TokensError> {
        let (file, grants) = TokensFile::open(path)?;
        let access = Self {
            grants: ArcSwap::from_pointee(grants),
        };
        Ok((Arc::new(access), file))
    }

    /// Other tokens hold from now on. Calls of those that are not the same any more end.
    fn replace(&self, mut new: file::Grants) {
        let old = self.grants.load();
        for (token, grant) in old.iter() {
            match new.get_mut(token) {
                Some(kept) if kept.is_same(grant) => *kept = Arc::clone(grant),
                _ => grant.revoked.cancel(),
            }
        }
        self.grants.store(Arc::new(new));
    }

    /// What a call may see.
    fn grant(&self, headers: &HeaderMap) -> Result<Arc<Grant>, Status> {
        let missing = || {
            Status::unauthenticated(
                "this relay needs a token: send it as metadata `authorization: Bearer TOKEN`",
            )
        };
        let value = headers.get(AUTHORIZATION).ok_or_else(missing)?;
        let value = value.to_str().map_err(|_| missing())?;
        let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
        let token = if scheme.eq_ignore_ascii_case("bearer") {
            token.trim().to_owned()
        } else if scheme.eq_ignore_ascii_case("basic") {
            password(token.trim()).ok_or_else(missing)?
        } else {
            return Err(missing());
        };
        // Looked up by its digest, so that the time it takes tells nothing of other tokens.
        let grants = self.grants.load();
        let grant = grants.get(&digest_of(&token));
        grant
            .map(Arc::clone)
            .ok_or_else(|| Status::unauthenticated("this relay does not know the token"))
    }
}

/// The password of a client that knows no other way to send a token, as Hubble's command line. Whose it
/// is, the token says.
fn password(credentials: &str) -> Option<String> {
    let text = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    let (_, password) = text.split_once(':')?;
    Some(password.to_owned())
}

fn digest_of(token: &str) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

/// What stands between clients and services.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// The tokens that are needed; `None` where none are.
    pub(crate) access: Option<Arc<Access>>,
    /// Where those are written down who do not come in.
    pub(crate) audit: Option<Arc<Audit>>,
}

/// Services behind a gate. A call's [`Grant`] is in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<S> {
    pub(crate) inner: S,
    pub(crate) gate: Gate,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(access) = &self.gate.access
            && !request.uri().path().starts_with(OPEN_SERVICE)
        {
            match access.grant(request.headers()) {
                Ok(grant) => request.extensions_mut().insert(grant),
                Err(status) => {
                    if let Some(audit) = &self.gate.audit {
                        let metadata = MetadataMap::from_headers(request.headers().clone());
                        let extensions = request.extensions();
                        audit
                            .begin("refused", extensions, &metadata, String::new())
                            .answered(&Err::<(), _>(status.clone()));
                    }
                    return Box::pin(async move { Ok(status.into_http()) });
                }
            };
            // It is for this relay, and none of its peers' business.
            request.headers_mut().remove(AUTHORIZATION);
        }
        Box::pin(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, namespaces: Option<&[&str]>) -> Arc<Grant> {
        Arc::new(Grant {
            name: name.to_owned(),
            namespaces: namespaces.map(|it| it.iter().map(ToString::to_string).collect()),
            revoked: CancellationToken::new(),
        })
    }

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_call_has_the_grant_of_its_token_for_as_long_as_that_means_the_same() {
        let file = |entries: &[(&str, Arc<Grant>)]| {
            let entry = |(token, grant): &(&str, Arc<Grant>)| (digest_of(token), Arc::clone(grant));
            entries.iter().map(entry).collect::<file::Grants>()
        };
        let access = Access {
            grants: ArcSwap::from_pointee(file(&[
                ("one", grant("a", None)),
                ("two", grant("b", Some(&["shop"]))),
            ])),
        };
        let one = access.grant(&headers("Bearer one")).unwrap();
        let two = access.grant(&headers("bearer two")).unwrap();
        assert_eq!((one.name.as_str(), two.name.as_str()), ("a", "b"));
        let basic = format!("Basic {}", BASE64_STANDARD.encode("anybody:two"));
        assert_eq!(access.grant(&headers(&basic)).unwrap().name, "b");
        for wrong in ["Bearer three", "Basic one", "Basic b25l", "one", "Bearer "] {
            let status = access.grant(&headers(wrong)).unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unauthenticated, "{wrong}");
        }
        assert!(access.grant(&HeaderMap::new()).is_err());

        access.replace(file(&[
            ("one", grant("a", None)),
            ("two", grant("b", Some(&["bank"]))),
        ]));
        assert!(!one.revoked.is_cancelled());
        assert!(two.revoked.is_cancelled(), "it means something else now");
        assert!(Arc::ptr_eq(
            &one,
            &access.grant(&headers("Bearer one")).unwrap()
        ));
        access.replace(file(&[]));
        assert!(one.revoked.is_cancelled());
    }
}
