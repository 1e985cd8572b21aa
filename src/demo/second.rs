//! The second act: the server dies, and a person with nothing but a telephone promotes the other
//! one.
//!
//! Two nodes and a witness, each with its supervisor, and the policy that a person decides. Callers
//! hear a tone that rises; all processes of the primary get SIGKILL; a person calls the control
//! extension of the witness, keys what the menu asks for, and hears "promoted". The calls go on at
//! the other node. Then the first one is started again, may not act, and follows.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::screen::Screen;
use crate::admin::distribution;
use crate::stage::agent::{NUMBER, Person};
use crate::stage::promotion::{Act, Figures, Loss, Outcome};
use crate::stage::sound;
use crate::stage::trio::{Cast, NAMES, Trio};
use crate::timers::{Duration, Instant};

const PORTS: u32 = 30;
const CALLS: u32 = 12;

/// What came out.
pub struct Second {
    promotion: Outcome,
    /// Last digit of the confirmation -> the word "promoted".
    spoken: Duration,
    /// Last digit of the confirmation -> the last port.
    registered: Duration,
    /// What the agent heard.
    sound: PathBuf,
}

/// Plays it; what the agent heard goes into `directory`.
///
/// The nodes keep their state in a directory of this run: that of an earlier one holds another
/// cluster, which a new node must not join. When the act fails it stays, for its logs.
pub fn play(directory: &Path, screen: &mut Screen) -> io::Result<Second> {
    let state = directory.join(format!("second-act-{}", std::process::id()));
    let second = play_in(&state, directory, screen)?;
    if second.is_clean() {
        std::fs::remove_dir_all(&state)?;
    }
    Ok(second)
}

fn play_in(state: &Path, directory: &Path, screen: &mut Screen) -> io::Result<Second> {
    screen.say("second act. Two servers and a witness: starting");
    let cast =
        Cast { ports: PORTS, register_rate: 0, promotion: "manual", directory: state.to_owned() };
    let mut trio = cast.start()?;
    let person = Person::enrolled(&trio, trio.wait_for_primary()?)?;
    let act = Act::begin(&mut trio, CALLS, Loss::Power)?;
    let (primary, next) = (NAMES[act.primary], NAMES[act.next]);
    screen.say(&format!("{primary} is primary with {PORTS} ports; {CALLS} callers are in a call"));
    screen.say(&format!("SIGKILL to everything of {primary}; nobody but a person may promote"));
    let lost_at = act.lose(&mut trio)?;
    screen.say(&format!("agent {NUMBER} dials the witness, keys PIN, 1 and the spoken digits"));
    let spoken = person.promote(&mut trio)?;
    screen.say("the agent hears: promoted");
    let mut figures = Figures::default();
    let registered_at = act.watch(&mut trio, lost_at, &mut figures)?;
    let since = |at: Instant| at.saturating_duration_since(spoken.confirmed_at);
    screen.say(&format!("{CALLS} calls go on at {next}; {primary} is started again"));
    let sound = keep_sound(&trio, directory)?;
    act.end(&mut trio, &mut figures)?;
    screen.say(&format!("{primary} may not act, and follows {next}"));
    figures.check_records(&trio)?;
    Ok(Second {
        promotion: figures.outcome(PORTS, CALLS, 1, Loss::Power),
        spoken: since(spoken.spoken_at),
        registered: since(registered_at),
        sound,
    })
}

/// What the agent heard.
fn keep_sound(trio: &Trio, directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join("agent.wav");
    let report = trio.pbx.report();
    if let Some((codec, bytes)) = report.lines.values().find_map(|line| line.sound.as_ref()) {
        sound::write_wav(&path, *codec, bytes)?;
    }
    Ok(path)
}

impl Second {
    /// No call and no key lost or doubled.
    pub fn is_clean(&self) -> bool {
        self.promotion.nothing_lost()
    }

    /// `"promotion"` and `"phone"` of the result.
    pub fn json(&self) -> io::Result<[(&'static str, Value); 2]> {
        let phone = json!({
            "ports": PORTS,
            "runs": 1,
            "spoken_result_ms": distribution(&[self.spoken]),
            "registered_ms": distribution(&[self.registered]),
            "failed": 0,
        });
        Ok([("promotion", serde_json::to_value(&self.promotion)?), ("phone", phone)])
    }

    /// A table.
    pub fn text(&self) -> String {
        format!(
            "second act, since the SIGKILL; a person decided\n{}\
             after the last digit: \"promoted\" is heard {:.0} ms, every port registered {:.0} ms\n\
             listen to what the agent heard: {}\n",
            self.promotion.text(),
            self.spoken.as_secs_f64() * 1e3,
            self.registered.as_secs_f64() * 1e3,
            self.sound.display(),
        )
    }
}
