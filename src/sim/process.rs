//! The process of an application: what stands between its WebSocket and its code.
//!
//! A library answers pings, by itself or only between two events; a stopped process reads nothing,
//! while what is sent to it waits, and on being woken it handles all of that as if it were new. A
//! process is one connection: one that starts anew is another instance.

use std::collections::VecDeque;

use super::app::{self, App};
use super::links::Ordered;
use crate::ids::InstanceId;
use crate::timers::{Duration, Instant};

/// Time that an event takes when all is well.
const THINK: Duration = Duration::from_micros(400);

/// After a fault was healed, its consequences may still show for so long.
const AFTERMATH: Duration = Duration::from_secs(7);

/// Which application a process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `main`: acknowledges and checkpoints.
    Main,
    /// `basic`: does neither.
    Basic,
}

impl Kind {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Basic => "basic",
        }
    }
}

/// How a client library treats pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pongs {
    /// It answers at once, whatever the application does.
    AtOnce,
    /// It answers when the application is done with what came before.
    InTurn,
    /// Never.
    Never,
}

/// What comes over the connection.
#[derive(Clone, Debug)]
pub enum Frame {
    /// A ping.
    Ping,
    /// An event or an answer.
    Text(String),
}

/// What the process does.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a pong.
    Pong,
    /// Send a request.
    Text(String),
    /// Come back with [`Process::work`] then, and name this turn.
    WorkAt(Instant, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// The WebSocket is not open yet.
    Connecting,
    Running,
    /// Stopped by a signal.
    Frozen,
    /// Gone.
    Dead,
}

/// One process.
#[derive(Debug)]
pub struct Process {
    /// Its name, and that of its connection.
    pub id: InstanceId,
    /// What it serves.
    pub kind: Kind,
    /// From the node to it.
    pub down: Ordered,
    /// From it to the node.
    pub up: Ordered,
    /// A ping waits for the connection to move again: several are one.
    pub ping_waits: bool,
    /// It died before it sent what would arrive after this.
    pub silent_from: Option<Instant>,
    /// The node knows that something waits.
    pub unsent_told: bool,
    app: App,
    life: Life,
    pongs: Pongs,
    think: Duration,
    /// Its handlers are stuck: what they were given waits behind the one that is stuck.
    livelocked: bool,
    stuck: VecDeque<Frame>,
    inbox: VecDeque<Frame>,
    /// The event at the front of the inbox is being handled.
    working: bool,
    turn: u32,
    /// Since when nothing is wrong with it; `None`: something is.
    well_since: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Process {
    /// A process that has just asked for its WebSocket.
    pub fn new(id: InstanceId, kind: Kind, pongs: Pongs, now: Instant) -> Self {
        let (delay, jitter) = (Duration::from_micros(50), Duration::from_micros(250));
        Self {
            id,
            kind,
            down: Ordered::new(delay, jitter),
            up: Ordered::new(delay, jitter),
            ping_waits: false,
            silent_from: None,
            unsent_told: false,
            app: App::new(kind == Kind::Main),
            life: Life::Connecting,
            pongs,
            think: THINK,
            livelocked: false,
            stuck: VecDeque::new(),
            inbox: VecDeque::new(),
            working: false,
            turn: 0,
            well_since: Some(now),
            outputs: VecDeque::new(),
        }
    }

    /// Its WebSocket is open.
    pub fn connected(&mut self) {
        if self.life == Life::Connecting {
            self.life = Life::Running;
        }
    }

    /// Stops it, or lets it run on.
    pub fn freeze(&mut self, now: Instant, on: bool) {
        match (self.life, on) {
            (Life::Running, true) => self.life = Life::Frozen,
            (Life::Frozen, false) => {
                self.life = Life::Running;
                self.answer_pings();
                self.next_turn(now);
            }
            _ => {}
        }
        self.judge(now);
    }

    /// Ends it.
    pub fn kill(&mut self, now: Instant) {
        self.life = Life::Dead;
        self.inbox.clear();
        self.stuck.clear();
        self.judge(now);
    }

    /// Its handlers are stuck, or work again.
    pub fn livelock(&mut self, now: Instant, on: bool) {
        self.livelocked = on;
        if !on && !self.stuck.is_empty() {
            self.stuck.append(&mut self.inbox);
            std::mem::swap(&mut self.stuck, &mut self.inbox);
            // Whatever it was at, the front is another one.
            self.working = false;
            self.next_turn(now);
        }
        self.judge(now);
    }

    /// Each event takes it so long; `None`: as usual.
    pub fn slow_down(&mut self, now: Instant, think: Option<Duration>) {
        self.think = think.unwrap_or(THINK);
        self.judge(now);
    }

    /// Its connection stands still until then.
    pub fn stand_still(&mut self, now: Instant, until: Instant) {
        self.down.stand_still(until);
        self.judge(now);
        self.well_since = self.well_since.map(|at| at.max(until));
    }

    /// A frame arrived.
    pub fn arrive(&mut self, now: Instant, frame: Frame) {
        if self.life == Life::Dead {
            return;
        }
        let at_once = self.life == Life::Running && self.pongs == Pongs::AtOnce;
        match frame {
            Frame::Ping if self.pongs == Pongs::Never => {}
            Frame::Ping if at_once => self.outputs.push_back(Output::Pong),
            frame => {
                self.inbox.push_back(frame);
                self.next_turn(now);
            }
        }
    }

    /// The event at the front of the inbox is handled.
    pub fn work(&mut self, now: Instant, turn: u32) {
        if turn != self.turn || !self.working {
            return;
        }
        self.working = false;
        if self.life != Life::Running {
            return;
        }
        match self.inbox.pop_front() {
            Some(Frame::Ping) => self.outputs.push_back(Output::Pong),
            Some(frame @ Frame::Text(_)) if self.livelocked => self.stuck.push_back(frame),
            Some(Frame::Text(text)) => {
                self.app.handle_text(&text);
                self.take_app_outputs();
            }
            None => {}
        }
        self.next_turn(now);
    }

    /// What it does next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        self.life != Life::Dead
    }

    /// Whether it works as it should.
    pub fn works(&self) -> bool {
        self.life == Life::Running && !self.livelocked && self.think == THINK
    }

    /// Whether nothing was wrong with it for so long that no verdict may fall on it.
    pub fn is_beyond_reproach(&self, now: Instant) -> bool {
        self.well_since.is_some_and(|since| since + AFTERMATH <= now)
    }

    fn judge(&mut self, now: Instant) {
        if !self.works() {
            self.well_since = None;
        } else if self.well_since.is_none() {
            self.well_since = Some(now);
        }
    }

    /// A library with a thread of its own answers what came while the process was stopped.
    fn answer_pings(&mut self) {
        if self.pongs == Pongs::AtOnce {
            let all = self.inbox.len();
            self.inbox.retain(|frame| !matches!(frame, Frame::Ping));
            let pings = all - self.inbox.len();
            self.outputs.extend(std::iter::repeat_n(Output::Pong, pings));
        }
    }

    fn next_turn(&mut self, now: Instant) {
        let Some(next) = self.inbox.front() else { return };
        if self.working || self.life != Life::Running {
            return;
        }
        let time = match next {
            Frame::Ping => Duration::from_micros(10),
            Frame::Text(_) => self.think,
        };
        self.working = true;
        self.turn += 1;
        self.outputs.push_back(Output::WorkAt(now + time, self.turn));
    }

    fn take_app_outputs(&mut self) {
        while let Some(output) = self.app.poll_output() {
            // What the application says of itself is seen in what it sends.
            if let app::Output::Text(text) = output {
                self.outputs.push_back(Output::Text(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn process(pongs: Pongs) -> Process {
        let mut process = Process::new(InstanceId(1), Kind::Main, pongs, at(0));
        process.connected();
        process
    }

    fn pongs(process: &mut Process) -> usize {
        std::iter::from_fn(|| process.poll_output())
            .filter(|output| matches!(output, Output::Pong))
            .count()
    }

    #[test]
    fn a_stopped_process_answers_nothing_and_everything_when_it_is_woken() {
        let mut process = process(Pongs::AtOnce);
        process.arrive(at(1), Frame::Ping);
        assert_eq!(pongs(&mut process), 1);
        process.freeze(at(2), true);
        for ms in 3..10 {
            process.arrive(at(ms), Frame::Ping);
        }
        process.arrive(at(10), Frame::Text(String::new()));
        assert_eq!(pongs(&mut process), 0);
        process.freeze(at(20), false);
        assert_eq!(pongs(&mut process), 7);
        assert_eq!(process.inbox.len(), 1);
    }

    #[test]
    fn a_library_without_a_thread_answers_pings_in_turn() {
        let mut process = process(Pongs::InTurn);
        process.slow_down(at(0), Some(Duration::from_millis(500)));
        process.arrive(at(1), Frame::Text("{}".into()));
        process.arrive(at(2), Frame::Ping);
        let Some(Output::WorkAt(when, turn)) = process.poll_output() else { panic!("works") };
        assert_eq!(when, at(501));
        assert_eq!(pongs(&mut process), 0);
        process.work(when, turn);
        let Some(Output::WorkAt(when, turn)) = process.poll_output() else { panic!("works") };
        process.work(when, turn);
        assert_eq!(pongs(&mut process), 1);
    }
}
