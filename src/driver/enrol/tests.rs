//! From no certificate to a node that belongs to the cluster, and everybody who must not get there.

#![expect(clippy::disallowed_methods, reason = "files, threads and sockets are what is tested")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::*;
use crate::driver::peer_net::{Files, certificate, names_of, validity_of};

/// Two machines, each with a configuration of its own.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for node in ["a", "b"] {
            let text = format!(
                "[node]\nname = \"{node}\"\n[cluster]\nid = \"north\"\nprofile = \"pair\"\n\
                 timers = \"lan\"\ncredentials = \"cluster\"\n\
                 [[cluster.nodes]]\nname = \"a\"\nlink = \"127.0.0.1:7443\"\n\
                 [[cluster.nodes]]\nname = \"b\"\nlink = \"127.0.0.1:7445\"\n\
                 [pbx]\nprofile = \"generic\"\nregistrars = [\"127.0.0.1\"]\n\
                 local_address = \"127.0.0.1\"\n\
                 [[ports]]\nextensions = \"6001\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
                 applications = [\"main\"]\n[applications.main]\n"
            );
            fs::create_dir(directory.path().join(node)).expect("made");
            fs::write(directory.path().join(node).join("x.toml"), text).expect("written");
        }
        Self { directory }
    }

    fn with_ca() -> Self {
        let site = Self::new();
        init(&site.config("a")).expect("initialized");
        site
    }

    fn config(&self, node: &str) -> PathBuf {
        self.directory.path().join(node).join("x.toml")
    }

    fn files(&self, node: &str) -> Files {
        Files::of(&self.directory.path().join(node).join("cluster"))
    }

    /// `cluster token` in a thread: the token, the address, and how it ends.
    fn token(&self, node: &'static str) -> Served {
        let (config, (said, says)) = (self.config("a"), mpsc::channel());
        let end = thread::spawn(move || {
            let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            token(&config, node, listen, &mut |text| said.send(text.to_owned()).expect("heard"))
        });
        let text = says.recv().expect("printed");
        let mut words = text.split_whitespace().skip_while(|word| *word != "--token").skip(1);
        let token = words.next().expect("a token").to_owned();
        let address = words.next().expect("an address").to_owned();
        Served { token, address, end }
    }
}

struct Served {
    token: String,
    address: String,
    end: JoinHandle<Result<String, Failure>>,
}

impl Served {
    fn end(self) -> Result<String, Failure> {
        self.end.join().expect("no panic")
    }
}

fn text(outcome: Result<String, Failure>) -> String {
    outcome.map_or_else(|failure| failure.to_string(), |text| format!("DONE: {text}"))
}

#[test]
fn a_node_joins_with_a_token_and_has_what_proves_it() {
    let site = Site::with_ca();
    let served = site.token("b");
    let joined = text(join(&site.config("b"), &served.token, &served.address));
    assert!(joined.contains("b belongs to the cluster"), "{joined}");
    assert!(text(served.end()).contains("b has joined, from 127.0.0.1:"));
    let (a, b) = (site.files("a"), site.files("b"));
    assert_eq!(fs::read(&a.ca).expect("there"), fs::read(&b.ca).expect("there"));
    let issued = certificate(&b.certificate).expect("a certificate");
    assert_eq!(names_of(&issued), ["b"]);
    let validity = validity_of(&issued).expect("dates");
    assert_eq!(validity.until - validity.from, YEAR + 3_600);
    Credentials::load(b.ca.parent().expect("a directory"), "b").expect("usable");
}

#[test]
fn what_is_written_is_ours_alone_and_the_ca_key_stays_where_it_was_made() {
    let site = Site::with_ca();
    let served = site.token("b");
    join(&site.config("b"), &served.token, &served.address).expect("joined");
    let mut files = 0;
    for node in ["a", "b"] {
        let directory = site.directory.path().join(node).join("cluster");
        assert_eq!(fs::metadata(&directory).expect("there").permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(directory).expect("readable") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
            files += 1;
        }
    }
    assert_eq!(files, 4 + 3);
    assert!(!site.directory.path().join("b/cluster/ca.key").exists());
}

#[test]
fn a_token_is_good_once() {
    let site = Site::with_ca();
    let served = site.token("b");
    let (token, address) = (served.token.clone(), served.address.clone());
    join(&site.config("b"), &token, &address).expect("joined");
    served.end().expect("joined");
    assert!(text(join(&site.config("b"), &token, &address)).contains("cannot be reached"));
    // Whoever serves another one at the same place does not take the old one either.
    let again = site.token("b");
    let refused = text(join(&site.config("b"), &token, &again.address));
    assert!(refused.contains("the token is wrong, or was used"), "{refused}");
    join(&site.config("b"), &again.token, &again.address).expect("joined");
}

#[test]
fn three_wrong_tokens_end_a_token() {
    let site = Site::with_ca();
    let served = site.token("b");
    let secret = served.token.split('.').nth(1).expect("a secret");
    let guess = served.token.replace(secret, &"0".repeat(32));
    for _ in 0..3 {
        let refused = text(join(&site.config("b"), &guess, &served.address));
        assert!(refused.contains("the token is wrong"), "{refused}");
    }
    assert!(text(served.end()).contains("3 times a wrong token"));
    assert!(!site.files("b").certificate.exists());
}

#[test]
fn a_token_is_for_one_node() {
    let site = Site::with_ca();
    let served = site.token("b");
    let refused = text(join(&site.config("a"), &served.token, &served.address));
    assert!(refused.contains("the token is for b, and this node is a"), "{refused}");
    join(&site.config("b"), &served.token, &served.address).expect("it still holds");
    assert!(served.end().is_ok());
}

#[test]
fn a_man_in_the_middle_with_another_ca_is_found_out_before_anything_is_said() {
    let (site, other) = (Site::with_ca(), Site::with_ca());
    let (served, middle) = (site.token("b"), other.token("b"));
    let refused = text(join(&site.config("b"), &served.token, &middle.address));
    assert!(refused.contains("is not the one who printed the token"), "{refused}");
    assert!(!site.files("b").certificate.exists());
    join(&other.config("b"), &middle.token, &middle.address).expect("its own token is untouched");
    join(&site.config("b"), &served.token, &served.address).expect("so is ours");
}

#[test]
fn a_node_of_one_cluster_does_not_join_another_by_a_slip() {
    let (site, other) = (Site::with_ca(), Site::with_ca());
    let served = site.token("b");
    join(&site.config("b"), &served.token, &served.address).expect("joined");
    let served = other.token("b");
    let refused = text(join(&site.config("b"), &served.token, &served.address));
    assert!(refused.contains("is the CA of another cluster"), "{refused}");
    join(&other.config("b"), &served.token, &served.address).expect("untouched");
}

#[test]
fn a_token_ends_with_its_time() {
    let site = Site::with_ca();
    let directory = site.directory.path().join("a/cluster");
    let authority = Authority::load(&directory).expect("a CA");
    let within = Duration::from_millis(50);
    let pepper = Pepper::open(&site.directory.path().join("a/state")).expect("a pepper");
    let serving = server::Serving { authority, pepper, node: "b".to_owned(), within };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let ended = runtime().expect("a runtime").block_on(serving.serve(listen, |_, _| {}));
    assert!(text(ended).contains("b did not join within"));
}

#[test]
fn whoever_connects_and_says_nothing_keeps_nobody_out() {
    let site = Site::with_ca();
    let served = site.token("b");
    let idle: Vec<_> =
        (0..4).map(|_| fs::File::from(std::os::fd::OwnedFd::from(dial(&served.address)))).collect();
    join(&site.config("b"), &served.token, &served.address).expect("joined");
    drop(idle);
}

#[expect(clippy::disallowed_types, reason = "a stranger's socket")]
fn dial(address: &str) -> std::net::TcpStream {
    std::net::TcpStream::connect(address).expect("listening")
}

#[test]
fn a_ca_that_is_there_is_left_alone() {
    let site = Site::with_ca();
    let before = fs::read(site.files("a").ca).expect("there");
    assert!(text(init(&site.config("a"))).contains("a CA is there already"));
    assert_eq!(fs::read(site.files("a").ca).expect("there"), before);
}

#[test]
fn the_node_with_the_ca_renews_its_own_certificate_and_another_is_told_how() {
    let site = Site::with_ca();
    let before = fs::read(site.files("a").certificate).expect("there");
    renew(&site.config("a")).expect("renewed");
    assert_ne!(fs::read(site.files("a").certificate).expect("there"), before);
    let told = text(renew(&site.config("b")));
    assert!(told.contains("`portkeeper cluster token b` where it is"), "{told}");
}

#[test]
fn tokens_are_for_other_nodes_of_the_cluster() {
    let site = Site::with_ca();
    for node in ["a", "x"] {
        let told = text(token(&site.config("a"), node, None, &mut |_| panic!("no token")));
        assert!(told.contains("is no other node of the cluster: write one of b"), "{told}");
    }
}

#[test]
fn what_is_no_token_is_not_tried() {
    let site = Site::with_ca();
    let told = text(join(&site.config("b"), "pk1.0123", "127.0.0.1:1"));
    assert!(told.contains("copy all of it"), "{told}");
}

#[test]
fn the_pepper_comes_with_the_certificate_and_only_its_owner_may_read_it() {
    let site = Site::with_ca();
    let served = site.token("b");
    join(&site.config("b"), &served.token, &served.address).expect("joined");
    let at = |node: &str| site.directory.path().join(node).join("state/pepper");
    assert_eq!(fs::read(at("b")).expect("there"), fs::read(at("a")).expect("there"));
    let mode = fs::metadata(at("b")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_node_that_had_a_pepper_of_its_own_is_told_that_it_was_replaced() {
    let site = Site::with_ca();
    Pepper::open(&site.directory.path().join("b/state")).expect("its own");
    let served = site.token("b");
    let told = text(join(&site.config("b"), &served.token, &served.address));
    assert!(told.contains("kept as pepper.old"), "{told}");
}
