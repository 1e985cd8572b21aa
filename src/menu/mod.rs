//! The phone menu: whoever keys an agent number and a PIN hears how the cluster stands, and may
//! promote the backup, acknowledge an alarm, warn the telephones, or drill.
//!
//! One [`Menu`] is one call of a control extension, or one alert call that we place. A call proves
//! little: a caller's number is a hint, keys can be recorded and played back, and a call can be
//! moved to somebody else. So the PIN is checked off this machine with the same work for everybody,
//! it is asked again when the call changes, and whatever has an effect asks for three random digits
//! that were just spoken. Keys heard as tones in the sound count for nothing.
//!
//! ```text
//! call -> number -> PIN -> checking -> choice -> three digits -> order -> progress -> result
//!                    ^                   |   \                     |
//!                    +-- call changed ---+    evidence, drill      +-> refused -> force -> digits
//! ```
//!
//! What the menu says is a row of prompts ([`Speech`]); [`words::english`] has a sound for each.
//! Nobody has to listen to the end: any key begins the next step. Three pauses of six seconds end
//! the call.

mod agent_rules;
mod alert;
mod choice;
mod confirm;
mod evidence;
mod keypad;
mod login;
mod machine;
mod obstacle;
mod promotion;
mod verdict;
mod voice;
pub mod words;

pub use agent_rules::{NumberFault, PinFault, check_number, check_pin, generate_pin};
pub use alert::{AlertCalls, AlertInput, AlertOutput};
pub use evidence::{
    Alarm, Candidate, DataAge, Evidence, Primary, Proposal, Sentinel, Tests, Unproven,
};
pub use machine::Menu;
pub use obstacle::Obstacle;
pub use verdict::{Verdict, Why, judge};
pub use voice::{Clock, Since, Speech, Zone};

use crate::codecs::Digit;
use crate::redact::Redacted;
use crate::store::{Audit, Who};

/// What the site decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// A forced promotion needs a second agent within five minutes.
    pub two_person: bool,
}

/// Whom the menu speaks with, as the PBX says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The extension, or the number that we called.
    pub extension: Redacted<String>,
    /// Came in from outside: the number proves nothing, so the agent is called back.
    pub trunk: bool,
    /// We placed the call: it reached whom we meant.
    pub placed: bool,
}

/// How the call came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Somebody called the control extension.
    Called,
    /// We call an agent back, whose number and PIN were right.
    CalledBack {
        /// Agent number.
        number: String,
    },
    /// We call somebody because of an alarm.
    Alert {
        /// What happened.
        alarm: Alarm,
        /// Whom, by the agent number of the on-call list, where it has one.
        person: String,
    },
}

/// How a key press reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// As a telephone-event from the locked source of the stream.
    Event,
    /// By INFO within the dialog.
    Info,
    /// As a tone in the sound: whoever talks can make one.
    Tone,
}

/// What the menu is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The call is up.
    Began {
        /// Why.
        entry: Entry,
        /// With whom.
        caller: Caller,
    },
    /// How the cluster stands: before `Began`, and whenever it changes.
    Evidence(Evidence),
    /// A key was pressed.
    Digit {
        /// Which.
        key: Redacted<Digit>,
        /// How it came.
        heard: Heard,
    },
    /// A speech ended, or a key stopped it.
    Said {
        /// Which.
        speech: u32,
    },
    /// Remote identity, media address or SSRC changed, or the call was held, transferred or
    /// re-negotiated: somebody else may be on the line.
    Changed {
        /// Whom the PBX names.
        caller: Caller,
    },
    /// The answer to `CheckPin`.
    Checked {
        /// Which.
        check: u32,
        /// What comes of it.
        verdict: Verdict,
    },
    /// News of a promotion, whoever ordered it.
    Promotion(Promotion),
    /// The call is over.
    Ended,
}

/// News of a promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promotion {
    /// It will not be tried.
    Refused {
        /// Why.
        obstacles: Vec<Obstacle>,
        /// `force` would do it.
        may_force: bool,
    },
    /// It is under way.
    Progress {
        /// Ports that serve.
        ports: u32,
        /// All ports.
        of: u32,
    },
    /// It is over.
    Done {
        /// Ports that serve.
        ports: u32,
        /// All ports.
        of: u32,
    },
    /// It was tried and did not succeed: for certain.
    Failed {
        /// Why.
        obstacles: Vec<Obstacle>,
    },
    /// Nobody can say what becomes of it: it may still take place.
    Unknown,
    /// The answer to a drill: a promotion would be refused for these reasons.
    Drilled {
        /// None: it would be carried out.
        obstacles: Vec<Obstacle>,
    },
}

/// What the menu wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Play this, in place of what plays; any key stops it. Answered by `Said`.
    Say {
        /// Names it.
        speech: u32,
        /// What.
        prompts: Speech,
    },
    /// Compare a PIN with the agent's. Answered by `Checked`.
    CheckPin {
        /// Names it.
        check: u32,
        /// Agent number as keyed: it may name nobody.
        number: Redacted<String>,
        /// The PIN as keyed.
        pin: Redacted<String>,
    },
    /// Do something.
    Order(Order),
    /// Write this down. Promotions and drills of an `Order` are not among them: a promotion has to
    /// be durable before it takes effect, so whoever carries them out writes them.
    Audit(Audit),
    /// End the call.
    HangUp,
    /// And call this extension, as [`Entry::CalledBack`].
    CallBack {
        /// Whom.
        extension: String,
        /// Agent number.
        number: String,
    },
}

/// What an agent decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Promote the candidate. Answered by [`Promotion`].
    Promote {
        /// Which node.
        candidate: Candidate,
        /// Over what makes it safe: the attestation.
        forced: Option<String>,
        /// Whose decision it is.
        who: Who,
    },
    /// Remember for five minutes that this agent wants to force a promotion and declares that the
    /// primary is halted: [`Evidence::proposal`] for other calls.
    Propose {
        /// Whose wish it is.
        who: Who,
    },
    /// The alarm is in good hands.
    Acknowledge,
    /// Tell every telephone that wants it that the system restarts.
    RestartMessage,
    /// Find out whether the candidate would be promoted, and change nothing. Answered by
    /// [`Promotion::Drilled`].
    Drill {
        /// Which node.
        candidate: Candidate,
        /// Whose drill it is.
        who: Who,
    },
}

/// What the telephones hear after [`Order::RestartMessage`].
pub fn restart_message() -> Speech {
    Speech::of(words::RESTART_MESSAGE)
}

#[cfg(test)]
mod tests;
