//! Commands over one HTTP connection that is kept, and in turns with them the echo of as many
//! bytes by a thread that does nothing else.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "sockets of its own")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use crate::driver::clock;
use crate::driver::rtp_net::Scheduling;
use crate::stage::node::API_KEY;
use crate::timers::{Duration, Instant};

/// Between two commands at least, and between two about one call: half of what a call may have
/// is left to the application that serves it.
const COMMAND_EVERY: Duration = Duration::from_millis(2);
const CALL_EVERY: Duration = Duration::from_millis(100);

/// Longest response; those that are asked for here are far shorter.
const RESPONSE_MAX: usize = 8_192;

type Times = (Vec<Duration>, Vec<Duration>);

/// Commands under way.
pub(super) struct Commands(JoinHandle<io::Result<Times>>);

impl Commands {
    /// What commands took, and what echoes took.
    pub(super) fn finish(self) -> io::Result<Times> {
        self.0.join().map_err(|_| io::Error::other("the thread of the commands panicked"))?
    }
}

/// Sends commands about these channels until a moment.
pub(super) fn start(
    ari: SocketAddr,
    channels: Vec<String>,
    until: Instant,
) -> io::Result<Commands> {
    let node = TcpStream::connect(ari)?;
    let echo = echo()?;
    for stream in [&node, &echo] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    }
    let thread = std::thread::Builder::new().name("commands".to_owned()).spawn(move || {
        Scheduling::raise();
        command(node, echo, &channels, until)
    })?;
    Ok(Commands(thread))
}

fn command(
    mut node: TcpStream,
    mut echo: TcpStream,
    channels: &[String],
    until: Instant,
) -> io::Result<Times> {
    let (mut commands, mut floor) = (Vec::new(), Vec::new());
    let every = pause_between(channels.len());
    let mut at = clock::now();
    for (number, channel) in channels.iter().cycle().enumerate() {
        if at >= until {
            break;
        }
        let request = request(channel, number);
        let sent = clock::now();
        node.write_all(request.as_bytes())?;
        let length = answer(&mut node)?;
        commands.push(clock::now().saturating_duration_since(sent));
        floor.push(bounce(&mut echo, request.len(), length)?);
        at += every;
        clock::sleep_until(at);
    }
    Ok((commands, floor))
}

fn pause_between(calls: usize) -> Duration {
    COMMAND_EVERY.max(CALL_EVERY / u32::try_from(calls).unwrap_or(u32::MAX).max(1))
}

/// Something to do, something to ask, something about the whole channel.
fn request(channel: &str, number: usize) -> String {
    let (method, path) = match number % 3 {
        0 => ("POST", format!("/variable?variable=BENCH&value={number}&api_key={API_KEY}")),
        1 => ("GET", format!("/variable?variable=BENCH&api_key={API_KEY}")),
        _ => ("GET", format!("?api_key={API_KEY}")),
    };
    format!(
        "{method} /ari/channels/{channel}{path} HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Reads a response to its end and returns its length. Anything but success is an error.
fn answer(stream: &mut TcpStream) -> io::Result<usize> {
    let mut buffer = [0; RESPONSE_MAX];
    let mut length = 0;
    loop {
        let room = buffer.get_mut(length..).unwrap_or_default();
        let read = stream.read(room)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
        if let Some(whole) = whole(&buffer[..length])? {
            return Ok(whole);
        }
    }
}

/// The length of a response, if all of it is there. A channel may not have the variable yet: 404.
fn whole(bytes: &[u8]) -> io::Result<Option<usize>> {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') && status != "404" {
        return Err(io::Error::other(format!("the node answered {status}")));
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    Ok((body.len() >= length).then_some(bytes.len()))
}

/// A thread that answers each read with as many bytes as its first two octets say.
fn echo() -> io::Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    far.set_nodelay(true)?;
    std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
        let mut buffer = [0; RESPONSE_MAX];
        while let Ok(read) = far.read(&mut buffer) {
            let [high, low] = [buffer[0], buffer[1]];
            let length = usize::from(u16::from_be_bytes([high, low])).min(RESPONSE_MAX);
            if read == 0 || far.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    })?;
    Ok(near)
}

/// Sends so many bytes and waits for as many as the node answered.
fn bounce(stream: &mut TcpStream, request: usize, answer: usize) -> io::Result<Duration> {
    let mut buffer = [0; RESPONSE_MAX];
    let [high, low] = u16::try_from(answer).unwrap_or(u16::MAX).to_be_bytes();
    (buffer[0], buffer[1]) = (high, low);
    let sent = clock::now();
    stream.write_all(&buffer[..request.clamp(2, RESPONSE_MAX)])?;
    stream.read_exact(&mut buffer[..answer.min(RESPONSE_MAX)])?;
    Ok(clock::now().saturating_duration_since(sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_calls_are_asked_no_faster_than_a_call_may_be() {
        assert_eq!(pause_between(1_000), COMMAND_EVERY);
        for calls in [0, 1, 10, 20] {
            let one = pause_between(calls) * u32::try_from(calls).expect("few");
            assert!(calls == 0 || one >= CALL_EVERY, "{calls} calls: each asked every {one:?}");
        }
    }

    #[test]
    fn a_response_is_whole_with_its_body() {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(whole(b"HTTP/1.1 204 No Content\r\n").expect("fine"), None);
        assert_eq!(whole(b"HTTP/1.1 204 No Content\r\n\r\n").expect("fine"), Some(27));
        assert_eq!(whole(format!("{head}12").as_bytes()).expect("fine"), None);
        let all = format!("{head}12345");
        assert_eq!(whole(all.as_bytes()).expect("fine"), Some(all.len()));
        assert!(whole(b"HTTP/1.1 503 Stopping\r\n\r\n").is_err());
    }

    #[test]
    fn an_echo_answers_as_many_bytes_as_it_is_asked_for() {
        let mut stream = echo().expect("sockets");
        assert!(bounce(&mut stream, 200, 500).expect("an echo") > Duration::ZERO);
        assert!(bounce(&mut stream, 200, 3).expect("an echo") > Duration::ZERO);
    }
}
