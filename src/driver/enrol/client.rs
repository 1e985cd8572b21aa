//! Joins: talks only to whoever the token names, and keeps its key to itself.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::ca::{Issued, request_for};
use super::token::{Token, fingerprint};
use super::{ANSWER_WITHIN, Answer, JOIN_NAME, JOIN_PROTOCOL, Request, frame, read_message};
use crate::driver::peer_net::{Files, certificate, provider};
use crate::driver::pins::Pepper;

/// Gets a certificate for node `name` from whoever serves `token` at `address`, and stores it;
/// returns the pepper that came with it.
pub(super) async fn join(
    token: &Token,
    address: &str,
    name: &str,
    directory: &Path,
) -> io::Result<Option<Pepper>> {
    check_directory(token, directory)?;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let request = request_for(name, &key)?;
    let answered = timeout(2 * ANSWER_WITHIN, ask(token, address, name, request)).await;
    let answer = answered.map_err(|_| late(address))??;
    let (certificate, ca, pepper) = match answer {
        Answer::Granted { certificate, ca, pepper } => (certificate, ca, pepper),
        Answer::Refused { why } => {
            let why: String = why.chars().filter(|c| !c.is_control()).take(300).collect();
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{address}: {why}"),
            ));
        }
    };
    let der = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(io::Error::other)?;
    if fingerprint(&der) != token.fingerprint {
        return Err(io::Error::other(format!(
            "{address}: answers with another CA than the token's"
        )));
    }
    let key = Zeroizing::new(key.serialize_pem());
    let given = pepper.as_ref().map(|hex| Pepper::from_hex(hex.reveal()));
    if given == Some(None) {
        return Err(io::Error::other(format!("{address}: gives a pepper that is none")));
    }
    Issued { ca, certificate, key }.store(directory)?;
    Ok(given.flatten())
}

/// A node of one cluster does not become one of another by a slip.
fn check_directory(token: &Token, directory: &Path) -> io::Result<()> {
    let file = Files::of(directory).ca;
    if !file.exists() || fingerprint(&certificate(&file)?) == token.fingerprint {
        return Ok(());
    }
    let text = format!(
        "{}: is the CA of another cluster than the token's: move {} away if this node shall leave \
         that cluster",
        file.display(),
        directory.display()
    );
    Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
}

async fn ask(token: &Token, address: &str, name: &str, request: String) -> io::Result<Answer> {
    let connected = TcpStream::connect(address).await;
    let stream = connected.map_err(|error| {
        let text = format!("{address} cannot be reached: {error}; does `cluster token` run there?");
        io::Error::new(error.kind(), text)
    })?;
    let server = ServerName::try_from(JOIN_NAME).map_err(io::Error::other)?;
    let connecting = TlsConnector::from(tls(token)?).connect(server, stream).await;
    let mut stream: TlsStream<TcpStream> = connecting.map_err(|error| {
        let text = format!(
            "{address}: is not the one who printed the token ({error}): somebody is in between, \
             the token is of another cluster, or the address is wrong"
        );
        io::Error::new(error.kind(), text)
    })?;
    let (_, connection) = stream.get_ref();
    let exported = connection
        .export_keying_material([0; 32], JOIN_PROTOCOL, None)
        .map_err(io::Error::other)?;
    let proof = token.proof(&exported, name, &request);
    let request = Request { node: name.to_owned(), request, proof };
    stream.write_all(&frame(&request)?).await?;
    stream.flush().await?;
    read_message(&mut stream).await
}

fn late(address: &str) -> io::Error {
    let text = format!("{address} does not answer: does `cluster token` still run there?");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

fn tls(token: &Token) -> io::Result<Arc<ClientConfig>> {
    let verifier = Pinned { fingerprint: token.fingerprint };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![JOIN_PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// Trusts one CA, which is known by its fingerprint until it is seen.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
}

impl ServerCertVerifier for Pinned {
    /// The chain must hold the CA of the token; with it as only root, everything is checked as for
    /// any other server.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates.iter().find(|one| fingerprint(one) == self.fingerprint);
        let ca = ca.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
