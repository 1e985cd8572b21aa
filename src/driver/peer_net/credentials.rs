//! The files that prove which node this is: `ca.pem`, `node.pem`, `node.key`.
//!
//! Only the cluster's own CA is trusted, only TLS 1.3 is spoken, both sides show a certificate, and
//! no session is resumed: every connection proves again who is at its ends.

#![expect(clippy::disallowed_methods, reason = "the driver reads files")]

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a connection is for, agreed in the TLS handshake.
pub const NODE_PROTOCOL: &[u8] = b"portkeeper-node";
/// A supervisor speaks for its node.
pub const SUPERVISOR_PROTOCOL: &[u8] = b"portkeeper-supervisor";

/// The node's half of what is proved on a link.
#[derive(Debug)]
pub struct Credentials {
    ca: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// When a certificate holds: seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From.
    pub from: i64,
    /// Until.
    pub until: i64,
}

impl Validity {
    /// Whether so much of it has passed that it is time for a new one: 60 %.
    pub const fn is_due(self, now: i64) -> bool {
        now.saturating_sub(self.from) >= (self.until.saturating_sub(self.from)) / 10 * 6
    }
}

/// Tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file: u64,
    seconds: i64,
    nanos: i64,
}

/// The version of a node's certificate, which is the last of its files that is replaced.
pub fn stamp_of(directory: &Path) -> Option<Stamp> {
    let found = fs::metadata(Files::of(directory).certificate).ok()?;
    Some(Stamp { file: found.ino(), seconds: found.mtime(), nanos: found.mtime_nsec() })
}

/// The three files of a directory.
#[derive(Clone, Debug)]
pub struct Files {
    /// The cluster's CA.
    pub ca: PathBuf,
    /// The node's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Files {
    /// Those of a directory.
    pub fn of(directory: &Path) -> Self {
        let file = |name| directory.join(name);
        Self { ca: file("ca.pem"), certificate: file("node.pem"), key: file("node.key") }
    }
}

impl Credentials {
    /// Reads the credentials of node `name`.
    ///
    /// # Errors
    /// A file is missing, readable by others or of another node; names it and who must act.
    pub fn load(directory: &Path, name: &str) -> io::Result<Self> {
        let files = Files::of(directory);
        let credentials = Self {
            ca: certificate(&files.ca)?,
            certificate: certificate(&files.certificate)?,
            key: private_key(&files.key)?,
        };
        let named = names_of(&credentials.certificate);
        if named != [name] {
            let text = format!(
                "{}: is the certificate of {}, and node.name is \"{name}\": whoever copied the \
                 files or set the name must correct it",
                files.certificate.display(),
                named.join(", ")
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        // A key that does not fit its certificate is found here, not by the peers.
        credentials.server()?;
        Ok(credentials)
    }

    /// When the node's certificate holds.
    pub fn validity(&self) -> Validity {
        validity_of(&self.certificate).unwrap_or(Validity { from: 0, until: 0 })
    }

    /// Listens as this node.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn server(&self) -> io::Result<Arc<ServerConfig>> {
        let roots = Arc::new(self.roots()?);
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(|error| io::Error::other(format!("node.pem and node.key: {error}")))?;
        config.alpn_protocols = vec![NODE_PROTOCOL.to_vec(), SUPERVISOR_PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Listens as this node for those who show no certificate.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn server_for_anyone(&self) -> io::Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(|error| io::Error::other(format!("node.pem and node.key: {error}")))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Dials as this node.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn client(&self, protocol: &[u8]) -> io::Result<Arc<ClientConfig>> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(|error| io::Error::other(format!("node.pem and node.key: {error}")))?;
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).map_err(|error| io::Error::other(format!("ca.pem: {error}")))?;
        Ok(roots)
    }
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The names in a certificate.
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

/// When a certificate holds.
pub fn validity_of(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Validity { from, until })
}

/// The one certificate of a file.
pub fn certificate(path: &Path) -> io::Result<CertificateDer<'static>> {
    let bytes = read(path)?;
    CertificateDer::from_pem_slice(&bytes).map_err(|error| {
        let text = format!("{}: holds no certificate: {error}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    let bytes = read_secret(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let text = format!("{}: holds no key: {error}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// A file that only we may read. A group may: that is how systemd hands credentials over.
pub fn read_secret(path: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let bytes = zeroize::Zeroizing::new(read(path)?);
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o037 == 0 {
        return Ok(bytes);
    }
    let text = format!(
        "{}: others may read or change it (mode {:o}): run chmod 600, and make new credentials if \
         somebody may have read it",
        path.display(),
        mode & 0o777
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let text = format!(
            "{}: {error}; `portkeeper cluster init` makes it on the first node, `portkeeper \
             cluster join` on the others",
            path.display()
        );
        io::Error::new(error.kind(), text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_at_sixty_percent_of_its_time() {
        let validity = Validity { from: 1_000, until: 2_000 };
        assert!(!validity.is_due(1_599) && validity.is_due(1_600) && validity.is_due(3_000));
    }
}
