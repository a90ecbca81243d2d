//! Certificate files: where they lie, and what is in them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::validity;
use crate::server::watched::Stamp;

/// The names in a folder: those of a Kubernetes secret, as Hubble's certificates come, and those
/// under which Cilium's chart mounts them.
const LAYOUTS: [[&str; 3]; 2] = [
    ["tls.crt", "tls.key", "ca.crt"],
    ["server.crt", "server.key", "client-ca.crt"],
];

/// A longer file is no certificate.
const LONGEST_FILE: u64 = 1024 * 1024;

/// PEM files of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TlsFiles {
    /// `tls.crt`, `tls.key` and `ca.crt`, or `server.crt`, `server.key` and `client-ca.crt`, in one
    /// folder.
    Folder(PathBuf),
    /// Each by its path.
    Each {
        /// The server's certificate, followed by its intermediates.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
        /// Authorities of clients. With none, clients need no certificate.
        client_cas: Vec<PathBuf>,
    },
}

impl TlsFiles {
    /// The certificate, the key and the authorities as they lie now.
    fn paths(&self) -> (PathBuf, PathBuf, Vec<PathBuf>) {
        match self {
            Self::Folder(folder) => {
                let [cert, key, authority] = in_folder(folder, LAYOUTS);
                (cert, key, vec![authority])
            }
            Self::Each {
                cert,
                key,
                client_cas,
            } => (cert.clone(), key.clone(), client_cas.clone()),
        }
    }

    /// Whether clients need a certificate.
    #[must_use]
    pub fn verify_clients(&self) -> bool {
        match self {
            Self::Folder(_) => true,
            Self::Each { client_cas, .. } => !client_cas.is_empty(),
        }
    }

    /// What tells the files' contents from those before.
    pub(super) fn stamps(&self) -> Stamps {
        let (cert, key, client_cas) = self.paths();
        Stamps::of([cert, key].iter().chain(&client_cas))
    }
}

/// A certificate, its key and an authority under the first names by which there is a certificate; under
/// the first names of all where there is none yet.
pub(super) fn in_folder(folder: &Path, layouts: [[&str; 3]; 2]) -> [PathBuf; 3] {
    let [first, ..] = layouts;
    let found = layouts
        .into_iter()
        .find(|[cert, ..]| folder.join(cert).exists());
    found.unwrap_or(first).map(|name| folder.join(name))
}

/// [`Stamp`]s of all files, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::server) struct Stamps(Vec<Option<Stamp>>);

impl Stamps {
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| Stamp::of(path)).collect())
    }
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no such file; usually whoever issues certificates has not come yet, or the path is
    /// wrong.
    #[error("TLS file {} does not exist", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// It was waited for long enough.
    #[error(
        "TLS file {} did not appear within {after:?}: name another with --tls-cert-file, \
         --tls-key-file and --tls-client-ca-files, or wait longer with --tls-wait", file.display()
    )]
    NeverCame {
        /// The file.
        file: PathBuf,
        /// How long.
        after: Duration,
    },
    /// It cannot be read; usually for lack of permission.
    #[error("cannot read TLS file {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It has something else in it; usually the certificate and its key were swapped.
    #[error("TLS file {} holds no {expected} in PEM form", file.display())]
    Unexpected {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The certificate is broken, or the key is that of another.
    #[error("certificate of TLS file {} cannot be used: {reason}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl TlsError {
    pub(super) fn unusable(file: &Path, reason: impl fmt::Display) -> Self {
        Self::Unusable {
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// What the files hold.
pub(super) struct Loaded {
    pub(super) cert_file: PathBuf,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// With the file that each is from.
    pub(super) client_cas: Vec<(PathBuf, CertificateDer<'static>)>,
    /// Until when the server's certificate holds, seconds since 1970; `None` where it cannot be
    /// made out.
    pub(super) expires: Option<i64>,
}

impl Loaded {
    /// Reads them all.
    ///
    /// # Errors
    /// When one is missing, or not what it should be.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let (cert_file, key_file, ca_files) = files.paths();
        let chain = certificates(&cert_file)?;
        let key = private_key(&key_file)?;
        let mut client_cas = Vec::new();
        for file in ca_files {
            let authorities = certificates(&file)?.into_iter();
            client_cas.extend(authorities.map(|authority| (file.clone(), authority)));
        }
        let expires = chain.first().and_then(|it| validity::not_after(it));
        Ok(Self {
            cert_file,
            chain,
            key,
            client_cas,
            expires,
        })
    }
}

/// The private key of a file.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|_| TlsError::Unexpected {
        file: file.to_owned(),
        expected: "private key",
    })
}

/// The certificates of a file: at least one, and none that is broken.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(TlsError::Unexpected {
            file: file.to_owned(),
            expected: "certificate",
        }),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => TlsError::Missing {
            file: file.to_owned(),
        },
        _ => TlsError::Unreadable {
            file: file.to_owned(),
            source,
        },
    };
    let metadata = fs::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LONGEST_FILE {
        return Err(unreadable(io::Error::other(
            "expected a file of at most 1 MiB",
        )));
    }
    fs::read(file).map_err(unreadable)
}
