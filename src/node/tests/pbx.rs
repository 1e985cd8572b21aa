//! The PBX: it registers the port, calls it, and answers its calls. Messages are text, and each
//! answer repeats what RFC 3261 section 8.2.6 says.

use super::*;

/// What the PBX offers and answers: PCMU and telephone-events.
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";

/// Values of a header.
pub(super) fn header<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let value = |line: &'t str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    text.lines().take_while(|line| !line.is_empty()).filter_map(value).collect()
}

/// An answer to a request of the node.
fn answer(request: &str, status: &str, more: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        for value in header(request, name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    let to = header(request, "To")[0];
    let tag = if to.contains("tag=") { "" } else { ";tag=pbx" };
    text + &format!("To: {to}{tag}\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
}

impl Bench {
    /// The PBX takes the registration that the node has just asked for.
    pub(super) fn register(&mut self) {
        let mut made = self.run(Duration::from_millis(100));
        // From the last port down, so that `contact` is left to the first one.
        made.sip.sort_by_key(|register| header(register, "To")[0].to_owned());
        for register in made.sip.iter().rev() {
            assert!(register.starts_with("REGISTER "), "{register}");
            self.grant(register, "");
            self.contacts.insert(0, self.contact.clone());
        }
    }

    /// The PBX grants a REGISTER, and lists more Contacts.
    pub(super) fn grant(&mut self, register: &str, more: &str) {
        let contact = header(register, "Contact")[0];
        self.contact = contact.split(['<', '>']).nth(1).expect("a URI").to_owned();
        let granted = format!("Contact: {contact};expires=3600{more}\r\n");
        self.datagram(&answer(register, "200 OK", &granted, ""));
    }

    pub(super) fn datagram(&mut self, text: &str) -> Made {
        self.hand_in(text);
        self.take()
    }

    /// The PBX calls the port, and the port's media opens its socket.
    pub(super) fn arrive(&mut self) -> Made {
        self.calls += 1;
        let (uri, n, length) = (&self.contact, self.calls, SDP.len());
        let invite = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKin{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:300@10.0.0.5>;tag=in\r\nTo: <sip:1000@10.0.0.5>\r\n\
             Call-ID: in{n}@pbx\r\nCSeq: 1 INVITE\r\nContact: <sip:pbx@10.0.0.5>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{SDP}"
        );
        let mut made = self.datagram(&invite);
        self.call = self.node.call_of(PORT).unwrap_or(CallId(0));
        made.add(self.media(media::Event::Opened));
        made
    }

    /// Whether the PBX deals with a message by itself: it answers OPTIONS, and it acknowledges a
    /// 200 to its INVITE, which a test sees nevertheless.
    pub(super) fn is_routine(&mut self, text: &str) -> bool {
        let options = text.starts_with("OPTIONS ");
        if options && !self.pbx_dead {
            self.hand_in(&answer(text, "200 OK", "", ""));
        }
        if self.grants && text.starts_with("REGISTER ") {
            self.hand_in(&answer(text, "200 OK", "Expires: 3600\r\n", ""));
        }
        if text.starts_with("SIP/2.0 200") && header(text, "CSeq") == ["1 INVITE"] {
            self.acknowledge(text);
        }
        options
    }

    fn acknowledge(&mut self, ok: &str) {
        ok.clone_into(&mut self.ok);
        let ack = self.in_dialog("ACK", 1);
        self.hand_in(&ack);
    }

    /// The caller of the latest call hangs up.
    pub(super) fn caller_hangs_up(&mut self) -> Made {
        let bye = self.in_dialog("BYE", 2);
        self.datagram(&bye)
    }

    /// A request in the dialog of the latest call that the node has answered.
    pub(super) fn in_dialog(&self, method: &str, number: u32) -> String {
        let of = |name| header(&self.ok, name)[0];
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK{method}{}\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n",
            self.contact,
            self.calls,
            of("From"),
            of("To"),
            of("Call-ID"),
        )
    }

    fn hand_in(&mut self, text: &str) {
        let from = ([10, 0, 0, 5], 5060).into();
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let input = sip::Input::Datagram { socket: sip::SocketId(0), from, bytes };
        self.node.handle_input(self.now, Input::Sip(input));
    }

    /// The PBX answers a request of the node.
    pub(super) fn reply(&mut self, request: &str, status: &str) -> Made {
        self.datagram(&answer(request, status, "Contact: <sip:pbx@10.0.0.5>\r\n", ""))
    }

    /// The PBX wants credentials for a request of the node.
    pub(super) fn challenge(&mut self, request: &str, realm: &str) -> Made {
        let digest = "nonce=\"n\", algorithm=SHA-256, qop=\"auth\"";
        let field = format!("WWW-Authenticate: Digest realm=\"{realm}\", {digest}\r\n");
        self.datagram(&answer(request, "401 Unauthorized", &field, ""))
    }

    /// The called party answers the node's INVITE.
    pub(super) fn pick_up(&mut self, invite: &str) -> Made {
        let more = "Contact: <sip:pbx@10.0.0.5>\r\nContent-Type: application/sdp\r\n";
        self.datagram(&answer(invite, "200 OK", more, SDP))
    }
}
