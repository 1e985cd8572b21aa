//! Nodes of a cluster on loopback, with real certificates, and those who do not belong to it.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "sockets and files are what is tested"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::credentials::{NODE_PROTOCOL, SUPERVISOR_PROTOCOL};
use super::*;
use crate::config::{Source, parse};
use crate::driver::enrol::ca::{Authority, Times, YEAR};
use crate::ha::Role;
use crate::ha::peer::{Body, Frame, Framer, PROTOCOL, decode, encode};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const W: NodeId = NodeId(2);
const PATIENCE: Duration = Duration::from_secs(20);

type Reports = mpsc::Receiver<Report<String>>;

/// A CA, and three addresses.
struct Site {
    directory: tempfile::TempDir,
    authority: Authority,
    links: [SocketAddr; 3],
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ca = directory.path().join("ca");
        let authority = Authority::create(&ca, "north", Times::from_now()).expect("a CA");
        let site = Self { directory, authority, links: free() };
        for node in ["a", "b", "w"] {
            site.issue(node, node, Times::from_now());
        }
        site
    }

    /// Gives the node in directory `at` the certificate of `name`.
    fn issue(&self, at: &str, name: &str, times: Times) {
        let issued = self.authority.issue_own(name, times).expect("a certificate");
        issued.store(&self.directory.path().join(at)).expect("stored");
    }

    fn text(&self, node: &str) -> String {
        let [a, b, w] = self.links;
        let rest = if node == "w" {
            ""
        } else {
            "[[ports]]\nextensions = \"6001-6030\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
             applications = [\"main\"]\n[applications.main]\n"
        };
        format!(
            "[node]\nname = \"{node}\"\n[cluster]\nid = \"north\"\nprofile = \"trio\"\n\
             credentials = \"{node}\"\ntimers = \"wan\"\n\
             [[cluster.nodes]]\nname = \"a\"\nlink = \"{a}\"\n\
             [[cluster.nodes]]\nname = \"b\"\nlink = \"{b}\"\n\
             [[cluster.nodes]]\nname = \"w\"\nrole = \"witness\"\nlink = \"{w}\"\n\
             [pbx]\nprofile = \"generic\"\nregistrars = [\"127.0.0.1\"]\n\
             local_address = \"127.0.0.1\"\n{rest}"
        )
    }

    fn config(&self, text: &str) -> Config {
        let base = self.directory.path();
        let read_file = |_: &Path| Err(io::Error::other("no files here"));
        let parsed = parse(Source {
            text,
            base,
            read_file: &read_file,
            fault_of: &|_| None,
            today: crate::config::Day::default(),
        });
        parsed.config.unwrap_or_else(|| panic!("{:?}", parsed.faults))
    }

    fn start(&self, node: &str, run: u64) -> (PeerNet<String>, Reports) {
        self.start_as(&self.text(node), run)
    }

    /// Starts a node anew, as soon as the thread of the one before has let its address go.
    async fn start_again(&self, node: &str, run: u64) -> (PeerNet<String>, Reports) {
        let config = self.config(&self.text(node));
        let starting = async {
            loop {
                match PeerNet::start(&config, run) {
                    Ok(started) => return started,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, starting).await.expect("the address is free in time")
    }

    fn start_as(&self, text: &str, run: u64) -> (PeerNet<String>, Reports) {
        PeerNet::start(&self.config(text), run).expect("started")
    }
}

/// Three ports of an address that no other test uses, so that nobody else is given them.
fn free() -> [SocketAddr; 3] {
    static SITES: AtomicU8 = AtomicU8::new(0);
    let process = u8::try_from(std::process::id() % 250).expect("small");
    let site = SITES.fetch_add(1, Ordering::Relaxed);
    let bind =
        || std::net::TcpListener::bind((std::net::Ipv4Addr::new(127, 1 + process, site, 1), 0));
    let listeners = [(); 3].map(|()| bind().expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("bound"))
}

/// The first report that is looked for.
async fn until<T>(
    reports: &mut Reports,
    mut wanted: impl FnMut(&Report<String>) -> Option<T>,
) -> T {
    let looking = async {
        loop {
            let report = reports.recv().await.expect("the links run");
            if let Some(found) = wanted(&report) {
                return found;
            }
        }
    };
    timeout(PATIENCE, looking).await.expect("reported in time")
}

async fn up(reports: &mut Reports, from: NodeId) -> bool {
    until(reports, |report| match report {
        Report::Link { peer, event: Event::Up { anew, .. } } if *peer == from => Some(*anew),
        _ => None,
    })
    .await
}

async fn message(reports: &mut Reports, from: NodeId) -> String {
    until(reports, |report| match report {
        Report::Link { peer, event: Event::Message { message, .. } } if *peer == from => {
            Some(message.clone())
        }
        _ => None,
    })
    .await
}

/// What is said of a peer, or of a stranger.
async fn trouble(reports: &mut Reports, of: Option<NodeId>) -> String {
    until(reports, |report| match report {
        Report::Trouble { with, text: Some(text) } if *with == of => Some(text.clone()),
        Report::Link { event: Event::Up { .. }, .. } => panic!("it was let in"),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn three_nodes_hear_each_other_in_whatever_order_they_start() {
    let site = Site::new();
    let (w, mut at_w) = site.start("w", 1);
    let (a, mut at_a) = site.start("a", 2);
    let (b, mut at_b) = site.start("b", 3);
    for reports in [&mut at_a, &mut at_b, &mut at_w] {
        let mut peers = 0;
        until(reports, |report| {
            peers += u32::from(matches!(report, Report::Link { event: Event::Up { .. }, .. }));
            (peers == 2).then_some(())
        })
        .await;
    }
    a.send(B, "from a".to_owned());
    b.send(W, "from b".to_owned());
    w.send(A, "x".repeat(500_000));
    assert_eq!(message(&mut at_b, A).await, "from a");
    assert_eq!(message(&mut at_w, B).await, "from b");
    assert_eq!(message(&mut at_a, W).await.len(), 500_000);
}

#[tokio::test]
async fn beats_carry_what_status_shows_and_the_epoch() {
    let site = Site::new();
    let (a, _at_a) = site.start("a", 1);
    let (_b, mut at_b) = site.start("b", 2);
    up(&mut at_b, A).await;
    let said = Beat {
        pbx_reachable: Some(true),
        calls: 7,
        ports_proven: 29,
        ports: 30,
        ..Beat::at_start(Role::Primary(Epoch(4)))
    };
    a.epoch(Epoch(4));
    a.beat(said);
    let heard = until(&mut at_b, |report| match report {
        Report::Link { event: Event::Beat { epoch, beat }, .. } => Some((*epoch, *beat)),
        _ => None,
    });
    assert_eq!(heard.await, (Epoch(4), said));
}

#[tokio::test]
async fn a_node_that_starts_again_is_found_again_and_is_new() {
    let site = Site::new();
    let (a, mut at_a) = site.start("a", 1);
    let (b, mut at_b) = site.start("b", 2);
    up(&mut at_a, B).await;
    up(&mut at_b, A).await;
    drop(b);
    until(&mut at_a, |report| {
        matches!(report, Report::Link { event: Event::Down { .. }, .. }).then_some(())
    })
    .await;
    a.send(B, "into the void".to_owned());
    let (_b, mut at_b) = site.start_again("b", 3).await;
    assert!(up(&mut at_a, B).await);
    up(&mut at_b, A).await;
    a.send(B, "again".to_owned());
    assert_eq!(message(&mut at_b, A).await, "again");
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let site = Site::new();
    let (_a, _) = site.start("a", 1);
    let config = site.config(&site.text("a"));
    let error = PeerNet::<String>::start(&config, 2).expect_err("taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&site.links[0].to_string()), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_on_both_sides() {
    let (site, other) = (Site::new(), Site::new());
    let issued = other.authority.issue_own("b", Times::from_now()).expect("a certificate");
    issued.store(&site.directory.path().join("b")).expect("stored");
    let (_a, mut at_a) = site.start("a", 1);
    let (_b, mut at_b) = site.start("b", 2);
    let said = trouble(&mut at_a, Some(B)).await;
    assert!(said.contains("was not made by this cluster's CA"), "{said}");
    // b cannot know who it was: nobody whom it knows.
    let said = trouble(&mut at_b, None).await;
    assert!(said.starts_with("127.") && said.contains("was refused at the link"), "{said}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused_and_who_must_act_is_told() {
    let site = Site::new();
    let times = Times::from_now();
    site.issue("b", "b", Times { from: times.from - 2 * YEAR, until: times.from - 1 });
    let (_a, mut at_a) = site.start("a", 1);
    let (_b, mut at_b) = site.start("b", 2);
    let said = trouble(&mut at_a, Some(B)).await;
    assert!(said.contains("the certificate of b has expired: whoever administers"), "{said}");
    let said = trouble(&mut at_b, Some(B)).await;
    assert!(said.contains("the certificate of b has ended: run"), "{said}");
}

#[tokio::test]
async fn a_certificate_of_a_dialler_that_has_expired_is_refused_too() {
    let site = Site::new();
    let times = Times::from_now();
    site.issue("a", "a", Times { from: times.from - 2 * YEAR, until: times.from - 1 });
    let (_b, mut at_b) = site.start("b", 1);
    let (_a, mut at_a) = site.start("a", 2);
    let said = trouble(&mut at_b, None).await;
    assert!(said.contains("has expired"), "{said}");
    let said = trouble(&mut at_a, Some(B)).await;
    assert!(said.contains("b says that the certificate of this node has expired"), "{said}");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart_on_either_side() {
    let site = Site::new();
    let times = Times::from_now();
    let past = Times { from: times.from - 2 * YEAR, until: times.from - 1 };
    site.issue("b", "b", past);
    let (_a, mut at_a) = site.start("a", 1);
    let (_b, mut at_b) = site.start("b", 2);
    trouble(&mut at_a, Some(B)).await;
    site.issue("b", "b", times);
    up(&mut at_b, A).await;
    until(&mut at_a, |report| {
        matches!(report, Report::Trouble { with: Some(B), text: None }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_told_more_than_it_can_send_begins_anew() {
    let site = Site::new();
    let (a, mut at_a) = site.start("a", 1);
    let (_b, mut at_b) = site.start("b", 2);
    up(&mut at_a, B).await;
    for _ in 0..4 * ORDERS_MAX {
        a.send(B, "x".to_owned());
    }
    until(&mut at_a, |report| {
        matches!(report, Report::Link { event: Event::Down { .. }, .. }).then_some(())
    })
    .await;
    tokio::spawn(async move { while at_b.recv().await.is_some() {} });
    assert!(!up(&mut at_a, B).await, "the same run of b");
    a.send(B, "and goes on".to_owned());
}

#[tokio::test]
async fn another_node_than_the_one_that_was_dialled_is_refused() {
    let site = Site::new();
    let (_w, _at_w) = site.start("w", 1);
    let [_, b, w] = site.links;
    // a believes that b listens where w does.
    let text = site
        .text("a")
        .replace(&b.to_string(), "127.0.0.1:1")
        .replace(&w.to_string(), &b.to_string());
    let (_a, mut at_a) = site.start_as(&text.replace("127.0.0.1:1", &w.to_string()), 2);
    let said = trouble(&mut at_a, Some(B)).await;
    assert!(said.contains("another node than b listens there"), "{said}");
}

#[tokio::test]
async fn credentials_of_another_node_are_refused_at_the_start() {
    let site = Site::new();
    site.issue("b", "w", Times::from_now());
    let error = PeerNet::<String>::start(&site.config(&site.text("b")), 1).expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("is the certificate of w, and node.name is \"b\""), "{text}");
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let key = site.directory.path().join("b/node.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let error = PeerNet::<String>::start(&site.config(&site.text("b")), 1).expect_err("refused");
    assert!(error.to_string().contains("run chmod 600"), "{error}");
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_with_both_names() {
    let site = Site::new();
    let (_a, mut at_a) = site.start("a", 1);
    let south = site.text("b").replace("id = \"north\"", "id = \"south\"");
    let (_b, mut at_b) = site.start_as(&south, 2);
    let said = trouble(&mut at_a, Some(B)).await;
    assert!(said.contains("belongs to cluster \"south\", this node to \"north\""), "{said}");
    let said = trouble(&mut at_b, Some(A)).await;
    assert!(said.contains("\"north\""), "{said}");
}

#[tokio::test]
async fn a_configuration_that_differs_is_refused_and_both_logs_name_what_differs() {
    let site = Site::new();
    let (_a, mut at_a) = site.start("a", 1);
    let (_b, mut at_b) = site.start_as(&site.text("b").replace("6001-6030", "6001-6020"), 2);
    let said = trouble(&mut at_a, Some(B)).await;
    assert!(said.contains("extensions differ"), "{said}");
    assert!(said.contains("6001-6030 here, 6001-6020 at b") || said.contains("at a"), "{said}");
    assert!(trouble(&mut at_b, Some(A)).await.contains("extensions differ"));
}

/// One connection of node b, made by hand.
async fn as_b(site: &Site, protocol: &[u8]) -> tokio_rustls::TlsStream<tokio::net::TcpStream> {
    let config = site.config(&site.text("b"));
    let w = config.cluster.member(W).expect("a witness");
    dialler::connect(&config.cluster, w, protocol).await.expect("connected")
}

fn identity(site: &Site, node: &str, speaker: Speaker) -> Identity {
    Identity::of(&site.config(&site.text(node)), speaker, 9)
}

/// What the far end said before it closed.
async fn last_words(mut stream: tokio_rustls::TlsStream<tokio::net::TcpStream>) -> String {
    let mut bytes = Vec::new();
    let reading = timeout(PATIENCE, stream.read_to_end(&mut bytes));
    drop(reading.await.expect("closed in time"));
    let mut framer = Framer::default();
    framer.push(&bytes);
    let mut words = String::new();
    while let Ok(Some(json)) = framer.next_frame() {
        if let Ok(Frame { body: Body::Goodbye { why }, .. }) = decode::<String>(&json) {
            words = why;
        }
    }
    words
}

#[tokio::test]
async fn a_peer_of_another_version_is_refused_and_told_so() {
    let site = Site::new();
    let (_w, mut at_w) = site.start("w", 1);
    let b = identity(&site, "b", Speaker::Node);
    let mut hello = b.hello();
    hello.protocol = PROTOCOL + 1;
    let frame: Frame<String> = b.frame(Epoch(0), 1, Body::Hello(Box::new(hello)));
    let mut stream = as_b(&site, NODE_PROTOCOL).await;
    stream.write_all(&encode(&frame).expect("short")).await.expect("sent");
    let said = trouble(&mut at_w, Some(B)).await;
    assert!(said.contains("it speaks version 5 of the link"), "{said}");
    assert!(last_words(stream).await.contains("whoever upgrades must bring both"));
}

#[tokio::test]
async fn a_frame_over_a_mebibyte_ends_the_connection_before_it_is_read() {
    let site = Site::new();
    let (_w, mut at_w) = site.start("w", 1);
    let b = identity(&site, "b", Speaker::Node);
    let hello: Frame<String> = b.frame(Epoch(0), 1, Body::Hello(Box::new(b.hello())));
    let mut stream = as_b(&site, NODE_PROTOCOL).await;
    stream.write_all(&encode(&hello).expect("short")).await.expect("sent");
    up(&mut at_w, B).await;
    stream.write_all(&((1 << 20) + 1_u32).to_be_bytes()).await.expect("sent");
    let said = last_words(stream).await;
    assert!(said.contains("a frame of 1048577 bytes"), "{said}");
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_sent_away_and_told_of() {
    let site = Site::new();
    let (a, mut at_a) = site.start("a", 1);
    let mut stranger = TcpStream::connect(a.address()).expect("listening");
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let said = trouble(&mut at_a, None).await;
    assert!(said.contains("does not speak TLS 1.3 here"), "{said}");
    stranger.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut alert = Vec::new();
    drop(stranger.read_to_end(&mut alert));
    assert!(alert.len() < 100, "{} bytes", alert.len());
}

#[tokio::test]
async fn strangers_who_say_nothing_are_sent_away_and_keep_nobody_out() {
    let site = Site::new();
    let (b, mut at_b) = site.start("b", 1);
    let mut idle: Vec<_> =
        (0..40).map(|_| TcpStream::connect(b.address()).expect("listening")).collect();
    let (_a, mut at_a) = site.start("a", 2);
    // They have three seconds, and all of them are still there.
    timeout(Duration::from_secs(2), up(&mut at_a, B)).await.expect("let in beside them");
    for stranger in &mut idle {
        stranger.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let end = stranger.read(&mut [0; 64]).or_else(|error| match error.kind() {
            io::ErrorKind::ConnectionReset => Ok(0),
            _ => Err(error),
        });
        assert_eq!(end.expect("closed"), 0, "closed by the node");
    }
    let said = until(&mut at_b, |report| match report {
        Report::Trouble { with: None, text } => text.clone(),
        _ => None,
    });
    assert!(said.await.contains("no handshake within 3 s"));
}

#[tokio::test]
async fn a_supervisor_says_that_its_node_is_gone_and_hears_who_has_stored_it() {
    let site = Site::new();
    let (b, mut at_b) = site.start("b", 1);
    let (w, mut at_w) = site.start("w", 2);
    let mut links = SupervisorLinks::start(&site.config(&site.text("a")), 3).expect("started");
    let cause = "panic at src/x.rs:1\n".to_owned() + &"x".repeat(1_000);
    let released = tokio::spawn(async move { links.release(Epoch(5), cause, PATIENCE).await });
    for (net, reports) in [(&b, &mut at_b), (&w, &mut at_w)] {
        let (node, epoch, cause) = until(reports, |report| match report {
            Report::Release { node, epoch, cause } => Some((*node, *epoch, cause.clone())),
            _ => None,
        })
        .await;
        assert_eq!((node, epoch), (A, Epoch(5)));
        assert!(cause.starts_with("panic at src/x.rs:1 x") && cause.len() == 300, "{cause}");
        net.released(node, epoch);
    }
    let mut stored = released.await.expect("no panic");
    stored.sort();
    assert_eq!(stored, [B, W]);
}

#[tokio::test]
async fn a_supervisor_may_say_nothing_else() {
    let site = Site::new();
    let (_w, _at_w) = site.start("w", 1);
    let b = identity(&site, "b", Speaker::Supervisor);
    let hello: Frame<String> = b.frame(Epoch(0), 1, Body::Hello(Box::new(b.hello())));
    let message = b.frame(Epoch(0), 2, Body::Message("promote me".to_owned()));
    let mut stream = as_b(&site, SUPERVISOR_PROTOCOL).await;
    for frame in [hello, message] {
        stream.write_all(&encode(&frame).expect("short")).await.expect("sent");
    }
    let said = last_words(stream).await;
    assert!(said.contains("which it may not"), "{said}");
}

#[tokio::test]
async fn a_node_that_dials_where_it_should_be_dialled_is_refused() {
    let site = Site::new();
    let (_a, mut at_a) = site.start("a", 1);
    let config = site.config(&site.text("w"));
    let a = config.cluster.member(A).expect("a node");
    let stream = dialler::connect(&config.cluster, a, NODE_PROTOCOL).await.expect("connected");
    let said = until(&mut at_a, |report| match report {
        Report::Trouble { with: None, text } => text.clone(),
        _ => None,
    });
    assert!(said.await.contains("w dials, and this node would dial it"));
    assert_eq!(last_words(stream).await, "");
}

#[tokio::test]
async fn only_tls_1_3_with_a_certificate_is_served() {
    let site = Site::new();
    let (a, mut at_a) = site.start("a", 1);
    let mut roots = rustls::RootCertStore::empty();
    let files = Files::of(&site.directory.path().join("a"));
    roots.add(certificate(&files.ca).expect("a CA")).expect("usable");
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = tokio::net::TcpStream::connect(a.address()).await.expect("listening");
    let name = rustls::pki_types::ServerName::try_from("a").expect("a name");
    drop(connector.connect(name, stream).await);
    let said = trouble(&mut at_a, None).await;
    assert!(said.contains("shows no certificate"), "{said}");
}

#[tokio::test]
async fn a_dialler_that_meets_a_deaf_node_gives_it_up_and_says_so() {
    let site = Site::new();
    let listener = tokio::net::TcpListener::bind(site.links[1]).await.expect("free");
    let tls = Credentials::load(&site.directory.path().join("b"), "b").expect("credentials");
    let acceptor = TlsAcceptor::from(tls.server().expect("usable"));
    let deaf = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("dialled");
        let stream = acceptor.accept(stream).await.expect("a node");
        std::future::pending::<()>().await;
        drop(stream);
    });
    let (_a, mut at_a) = site.start("a", 1);
    let said = trouble(&mut at_a, Some(B)).await;
    assert!(said.contains("it said nothing for too long"), "{said}");
    deaf.abort();
}

#[tokio::test]
async fn nodes_with_different_peppers_say_so_and_stay_linked() {
    let site = Site::new();
    let text = |node: &str| {
        let store = format!("store = \"{node}-state/x.db\"\ntimers");
        site.text(node).replace("timers", &store)
    };
    for node in ["a", "b"] {
        let directory = site.directory.path().join(format!("{node}-state"));
        Pepper::open(&directory).expect("a pepper of its own");
    }
    let (_a, mut at_a) = site.start_as(&text("a"), 1);
    let (_b, mut at_b) = site.start_as(&text("b"), 2);
    for (reports, peer) in [(&mut at_a, B), (&mut at_b, A)] {
        let said = trouble(reports, Some(peer)).await;
        assert!(said.contains("has another pepper") && said.contains("cluster join"), "{said}");
        up(reports, peer).await;
    }
}
