//! A phone: places a call over a PBX, talks, listens, presses keys, answers whatever the PBX asks
//! inside the call.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::process::eventually;
use crate::rtp::RtpEnd;
use crate::sip_text::{Message, with_body};

#[derive(Default)]
struct State {
    /// Final status of the INVITE.
    status: Option<u16>,
    /// The 2xx, which opens the dialog.
    answer: Option<Message>,
    /// Every request that came inside the call, by method.
    requests: Vec<String>,
    ended: bool,
}

/// A call that was placed.
pub struct Call {
    /// Its audio.
    pub rtp: Arc<RtpEnd>,
    line: Arc<Line>,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

/// What does not change during a call.
struct Line {
    socket: UdpSocket,
    pbx: SocketAddr,
    local: SocketAddr,
    from: String,
    to: String,
    target: String,
    call_id: String,
    rtp_port: u16,
    cseq: AtomicU32,
}

impl Call {
    /// Places a call to `target` at `pbx` as caller `from`, and does not wait.
    pub fn place(pbx: SocketAddr, target: &str, from: &str) -> Self {
        static CALLS: AtomicU32 = AtomicU32::new(1);
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let wait = Some(Duration::from_millis(5));
        socket.set_read_timeout(wait).expect("a fresh socket");
        let local = socket.local_addr().expect("bound");
        let rtp = Arc::new(RtpEnd::open(None));
        let id = format!("{}-{number}", std::process::id());
        let line = Arc::new(Line {
            socket,
            pbx,
            local,
            from: format!("\"Caller {number}\" <sip:{from}@{}>;tag=f{id}", local.ip()),
            to: format!("<sip:{target}@{pbx}>"),
            target: format!("sip:{target}@{pbx}"),
            call_id: format!("peers-{id}"),
            rtp_port: rtp.udp_port(),
            cseq: AtomicU32::new(1),
        });
        let call = Self { rtp, line, state: Arc::default(), stop: Arc::default() };
        call.line.send(&call.line.invite());
        let (line, state) = (call.line.clone(), call.state.clone());
        let (rtp, stop) = (call.rtp.clone(), call.stop.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let mut buffer = [0; 65_536];
                let Ok(n) = line.socket.recv(&mut buffer) else { continue };
                if let Some(message) = Message::parse(&buffer[..n]) {
                    line.handle(&message, &state, &rtp);
                }
            }
        });
        call
    }

    /// Places a call and waits until it is answered.
    pub fn answered(pbx: SocketAddr, target: &str, from: &str) -> Self {
        let call = Self::place(pbx, target, from);
        let status = eventually("the call is answered or refused", || call.status());
        assert_eq!(status, 200, "the call to {target}");
        call
    }

    /// The final status of the INVITE.
    pub fn status(&self) -> Option<u16> {
        self.lock().status
    }

    /// Whether the far end hung up.
    pub fn ended(&self) -> bool {
        self.lock().ended
    }

    /// The methods of the requests that came inside the call.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// Presses keys and waits until their packets are sent.
    pub fn press(&self, keys: &str) {
        self.rtp.press(keys);
        eventually("the keys are sent", || self.rtp.pressed_all().then_some(()));
    }

    /// Waits until a prompt is heard.
    pub fn hears(&self, prompt: &str) {
        eventually(&format!("`{prompt}` is heard, not {:?}", self.rtp.prompts()), || {
            assert!(!self.ended(), "the call ended; it heard {:?}", self.rtp.prompts());
            self.rtp.hears(prompt).then_some(())
        });
    }

    /// Waits until the far end hangs up.
    pub fn wait_end(&self) {
        eventually("the far end hangs up", || self.ended().then_some(()));
    }

    /// Hangs up.
    pub fn hang_up(&self) {
        let answer = self.lock().answer.clone();
        match answer {
            Some(answer) if !self.ended() => self.line.send(&self.line.inside("BYE", &answer)),
            Some(_) => {}
            None => self.line.send(&self.line.request("CANCEL", &self.line.target, "", 1)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.hang_up();
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Line {
    fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.pbx).expect("loopback takes a datagram");
    }

    fn sdp(&self) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n",
            self.rtp_port
        )
    }

    fn request(&self, method: &str, uri: &str, more: &str, cseq: u32) -> String {
        let (local, call_id) = (self.local, &self.call_id);
        // An ACK to a 2xx and a BYE are transactions of their own; CANCEL shares the INVITE's.
        let branch = if method == "CANCEL" { "INVITE" } else { method };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{call_id}-{branch}\
             {cseq};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:phone@{local}>\r\n{more}",
            self.from, self.to
        ) + if method == "INVITE" { "" } else { "Content-Length: 0\r\n\r\n" }
    }

    fn invite(&self) -> String {
        self.request("INVITE", &self.target, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n", 1)
            + &with_body("", &self.sdp())
    }

    /// A request inside the dialog that `answer` opened.
    fn inside(&self, method: &str, answer: &Message) -> String {
        let cseq = match method {
            "ACK" => 1,
            _ => self.cseq.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let routes: String = answer
            .all("record-route")
            .iter()
            .rev()
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        let uri = answer.contact().unwrap_or_else(|| self.target.clone());
        let text = self.request(method, &uri, &routes, cseq);
        text.replacen(&format!("To: {}", self.to), &format!("To: {}", answer.one("to")), 1)
    }

    fn handle(&self, message: &Message, state: &Mutex<State>, rtp: &RtpEnd) {
        match message.status() {
            Some(status) if message.method() == "INVITE" => {
                self.answer(status, message, state, rtp)
            }
            Some(_) => {}
            None => self.asked(message, state, rtp),
        }
    }

    fn answer(&self, status: u16, message: &Message, state: &Mutex<State>, rtp: &RtpEnd) {
        if status < 200 {
            return;
        }
        let mut state = state.lock().expect("no holder panics");
        state.status.get_or_insert(status);
        if status < 300 {
            if let Some(media) = message.media() {
                rtp.aim(media);
            }
            rtp.event_type(message.event_type().unwrap_or(101));
            self.send(&self.inside("ACK", message));
            state.answer.get_or_insert_with(|| message.clone());
        } else {
            state.ended = true;
            let ack = self.request("ACK", &self.target, "", 1);
            let to = format!("To: {}", message.one("to"));
            // Same branch as the INVITE: it belongs to its transaction.
            self.send(&ack.replacen(&format!("To: {}", self.to), &to, 1).replacen(
                "-ACK1;",
                "-INVITE1;",
                1,
            ));
        }
    }

    fn asked(&self, message: &Message, state: &Mutex<State>, rtp: &RtpEnd) {
        let method = message.method().to_owned();
        if method == "ACK" {
            return;
        }
        let mut sdp = String::new();
        if matches!(method.as_str(), "INVITE" | "UPDATE") {
            if let Some(media) = message.media() {
                rtp.aim(media);
            }
            sdp = self.sdp();
        }
        let contact = format!("Contact: <sip:phone@{}>\r\n", self.local);
        self.send(&message.response("200 OK", "", &contact, &sdp));
        let mut state = state.lock().expect("no holder panics");
        state.ended |= method == "BYE";
        state.requests.push(method);
    }
}
