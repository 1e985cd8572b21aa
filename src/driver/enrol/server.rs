//! Serves one token: lets one node in, once, within its time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ca::{Authority, Times};
use super::token::Token;
use super::{ANSWER_WITHIN, Answer, Failure, JOIN_NAME, JOIN_PROTOCOL, Request};
use super::{frame, read_message, refused};
use crate::driver::peer_net::provider;
use crate::driver::pins::Pepper;

/// Connections at once.
const CONNECTIONS_MAX: usize = 8;

/// Wrong proofs, after which the token is over: nobody mistypes a connection three times.
const WRONG_MAX: u32 = 3;

/// What is served.
pub(super) struct Serving {
    pub(super) authority: Authority,
    pub(super) pepper: Pepper,
    pub(super) node: String,
    pub(super) within: Duration,
}

/// Somebody who asks.
struct Applicant {
    stream: TlsStream<TcpStream>,
    request: Request,
    exported: [u8; 32],
    from: SocketAddr,
}

impl Serving {
    /// Listens, hands the token to `print`, and waits for the node.
    pub(super) async fn serve(
        self,
        listen: SocketAddr,
        print: impl FnOnce(&Token, SocketAddr),
    ) -> Result<String, Failure> {
        let bound = TcpListener::bind(listen).await;
        let listener = bound.map_err(|error| refused(format!("{listen}: {error}")))?;
        let address = listener.local_addr().map_err(refused)?;
        let token = Token::new(&self.authority.der).map_err(refused)?;
        let tls = self.tls().map_err(refused)?;
        print(&token, address);
        let serving = self.until_joined(&listener, &token, tls);
        timeout(self.within, serving).await.unwrap_or_else(|_| {
            let minutes = self.within.as_secs() / 60;
            let text = format!(
                "{} did not join within {minutes} minutes: the token is over, make another one",
                self.node
            );
            Err(Failure::Refused(text))
        })
    }

    async fn until_joined(
        &self,
        listener: &TcpListener,
        token: &Token,
        tls: Arc<ServerConfig>,
    ) -> Result<String, Failure> {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (applicant, mut applicants) = mpsc::channel(1);
        let mut wrong = 0;
        loop {
            tokio::select! {
                accepted = accept(listener, &room) => {
                    let (stream, from, permit) = accepted.map_err(refused)?;
                    let (tls, applicant) = (TlsAcceptor::from(Arc::clone(&tls)), applicant.clone());
                    tokio::spawn(async move {
                        let _permit = permit;
                        let asked = timeout(ANSWER_WITHIN, ask(tls, stream, from)).await;
                        // Whoever cannot ask in time, or in our words, is nobody's business.
                        if let Ok(Ok(asked)) = asked {
                            let _ = applicant.send(asked).await;
                        }
                    });
                }
                Some(applicant) = applicants.recv() => {
                    if let Some(done) = self.judge(applicant, token, &mut wrong).await {
                        return done;
                    }
                }
            }
        }
    }

    /// Decides and answers; `None`: the token still holds.
    async fn judge(
        &self,
        mut applicant: Applicant,
        token: &Token,
        wrong: &mut u32,
    ) -> Option<Result<String, Failure>> {
        let from = applicant.from;
        let (answer, done) = match self.decide(&applicant, token) {
            Ok(granted) => (granted, Some(Ok(format!("{} has joined, from {from}", self.node)))),
            Err(Denied::WrongProof) => {
                *wrong += 1;
                let why = "the token is wrong, or was used, or its time is over".to_owned();
                (Answer::Refused { why }, (*wrong >= WRONG_MAX).then(|| Err(over(from))))
            }
            Err(Denied::Other(why)) => (Answer::Refused { why }, None),
        };
        let sent = timeout(ANSWER_WITHIN, tell(&mut applicant.stream, &answer)).await;
        if matches!((&done, &sent), (Some(Ok(_)), Err(_) | Ok(Err(_)))) {
            let node = &self.node;
            let text = format!("{node} left before it had its certificate: make another token");
            return Some(Err(Failure::Refused(text)));
        }
        done
    }

    fn decide(&self, applicant: &Applicant, token: &Token) -> Result<Answer, Denied> {
        let Request { node, request, proof } = &applicant.request;
        if !token.verify(proof, &applicant.exported, node, request) {
            return Err(Denied::WrongProof);
        }
        if *node != self.node {
            let why = format!("the token is for {}, and this node is {node}", self.node);
            return Err(Denied::Other(why));
        }
        let issued = self.authority.issue(node, request, Times::from_now());
        let certificate = issued.map_err(|error| Denied::Other(error.to_string()))?;
        let pepper = Some(self.pepper.to_hex().into());
        Ok(Answer::Granted { certificate, ca: self.authority.pem(), pepper })
    }

    /// A certificate for this very purpose, which only the CA's key can make.
    fn tls(&self) -> io::Result<Arc<ServerConfig>> {
        let issued = self.authority.issue_own(JOIN_NAME, Times::from_now())?;
        let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes());
        let certificate = certificate.map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate, self.authority.der.clone()], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![JOIN_PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

enum Denied {
    WrongProof,
    Other(String),
}

fn over(from: SocketAddr) -> Failure {
    Failure::Refused(format!(
        "{WRONG_MAX} times a wrong token, the last time from {from}: this one is over, make another"
    ))
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, permit))
}

async fn ask(tls: TlsAcceptor, stream: TcpStream, from: SocketAddr) -> io::Result<Applicant> {
    let mut stream = tls.accept(stream).await?;
    let request = read_message(&mut stream).await?;
    let (_, connection) = stream.get_ref();
    let exported = connection
        .export_keying_material([0; 32], JOIN_PROTOCOL, None)
        .map_err(io::Error::other)?;
    Ok(Applicant { stream, request, exported, from })
}

async fn tell(stream: &mut TlsStream<TcpStream>, answer: &Answer) -> io::Result<()> {
    stream.write_all(&frame(answer)?).await?;
    stream.shutdown().await
}
