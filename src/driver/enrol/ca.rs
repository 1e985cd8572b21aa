//! The cluster's CA, and certificates for its nodes.

use std::io;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::files;
use crate::driver::clock;
use crate::driver::peer_net::{Files, certificate, read_secret};

/// Seconds that a node's certificate holds: 365 days.
pub const YEAR: i64 = 365 * 86_400;

/// A CA outlives its nodes' certificates; a new one means that every node joins again.
const CA_YEARS: i64 = 20;

/// Clocks of two nodes differ by less.
const CLOCKS_DIFFER: i64 = 3_600;

/// When a certificate holds: seconds since 1970, UTC.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From.
    pub from: i64,
    /// Until; a CA's own certificate holds longer.
    pub until: i64,
}

impl Times {
    /// A year from now, and an hour back for a clock that is behind.
    pub fn from_now() -> Self {
        let now = i64::try_from(clock::unix_ms() / 1_000).unwrap_or(i64::MAX / 2);
        Self { from: now - CLOCKS_DIFFER, until: now + YEAR }
    }
}

/// A key and its certificate, with the CA that made it.
pub(in crate::driver) struct Issued {
    pub(super) ca: String,
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

impl Issued {
    /// Puts them where a node looks for them.
    pub(in crate::driver) fn store(&self, directory: &Path) -> io::Result<()> {
        let at = Files::of(directory);
        files::make_directory(directory)?;
        files::write_secret(&at.key, &self.key)?;
        files::write_secret(&at.ca, &self.ca)?;
        files::write_secret(&at.certificate, &self.certificate)
    }
}

/// The CA with its key.
pub(in crate::driver) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    pub(super) der: CertificateDer<'static>,
}

impl Authority {
    /// Makes a CA for a cluster and stores it. One that is there is left alone.
    pub(in crate::driver) fn create(
        directory: &Path,
        cluster: &str,
        times: Times,
    ) -> io::Result<Self> {
        let at = Files::of(directory);
        let key_file = directory.join("ca.key");
        if at.ca.exists() || key_file.exists() {
            let text = format!(
                "{}: a CA is there already; `portkeeper cluster renew` makes a new certificate, \
                 and without this directory init makes a new cluster, which every node joins again",
                directory.display()
            );
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = called(&format!("portkeeper cluster {cluster}"));
        params.not_before = at_time(times.from)?;
        params.not_after = at_time(times.from + CA_YEARS * YEAR)?;
        let pem = params.self_signed(&key).map_err(io::Error::other)?.pem();
        files::make_directory(directory)?;
        files::write_secret(&key_file, &Zeroizing::new(key.serialize_pem()))?;
        files::write_secret(&at.ca, &pem)?;
        Self::load(directory)
    }

    /// Reads the CA of a directory.
    pub(super) fn load(directory: &Path) -> io::Result<Self> {
        let key_file = directory.join("ca.key");
        if !key_file.exists() {
            let text = format!(
                "{}: is not here: the CA's key is where `portkeeper cluster init` was run",
                key_file.display()
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let file = Files::of(directory).ca;
        let (pem, der) = (files::read(&file)?, certificate(&file)?);
        let key = read_secret(&key_file)?;
        let key = std::str::from_utf8(&key).map_err(io::Error::other)?;
        let key = KeyPair::from_pem(key).map_err(io::Error::other)?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(io::Error::other)?;
        Ok(Self { issuer, pem, der })
    }

    /// A new key with a certificate for it.
    pub(in crate::driver) fn issue_own(&self, name: &str, times: Times) -> io::Result<Issued> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = self.sign(name, &key, times)?;
        let key = Zeroizing::new(key.serialize_pem());
        Ok(Issued { ca: self.pem.clone(), certificate, key })
    }

    /// A certificate for the key of a request, whatever else the request asks for.
    pub(super) fn issue(&self, name: &str, request: &str, times: Times) -> io::Result<String> {
        let request =
            CertificateSigningRequestParams::from_pem(request).map_err(io::Error::other)?;
        self.sign(name, &request.public_key, times)
    }

    pub(super) fn pem(&self) -> String {
        self.pem.clone()
    }

    fn sign(&self, name: &str, key: &impl PublicKeyData, times: Times) -> io::Result<String> {
        let params = leaf(name, times)?;
        let certificate = params.signed_by(key, &self.issuer).map_err(io::Error::other)?;
        Ok(certificate.pem())
    }
}

/// What a node asks with: its key, and the proof that it has it.
pub(super) fn request_for(name: &str, key: &KeyPair) -> io::Result<String> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(io::Error::other)?;
    params.distinguished_name = called(name);
    let request = params.serialize_request(key).map_err(io::Error::other)?;
    request.pem().map_err(io::Error::other)
}

/// A node's certificate: it dials, and it is dialled.
fn leaf(name: &str, times: Times) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(io::Error::other)?;
    params.distinguished_name = called(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = at_time(times.from)?;
    params.not_after = at_time(times.until)?;
    Ok(params)
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn at_time(unix: i64) -> io::Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(unix).map_err(io::Error::other)
}
