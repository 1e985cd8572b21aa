//! Calls by which nodes test each other's control extensions: `control` of `[[cluster.nodes]]`, and
//! `control.self_call`.

use toml::de::DeValue;

use super::reader::{Meaning, Reader};
use super::{ClusterProfile, Config, Member};

/// A time of day by the clock of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NightTime {
    /// Minutes since midnight.
    pub minutes: u16,
}

impl NightTime {
    /// When hardly anybody calls, and no clock is ever put forward.
    pub const USUAL: Self = Self { minutes: 3 * 60 + 40 };
}

impl Config {
    /// The other nodes whose control extension this node tests: those whose number is written, at
    /// the PBX that this node can dial.
    pub fn self_calls(&self) -> impl Iterator<Item = (&Member, &str)> {
        let tests = self.control.as_ref().is_some_and(|control| control.self_call.is_some());
        let peers = self.cluster.peers().filter(move |_| tests);
        let dialled = peers.filter(|peer| !self.cluster.other_pbx(peer.id));
        dialled.filter_map(|peer| Some((peer, peer.control.as_deref()?)))
    }

    /// Whether a number is that of another node's control extension.
    pub fn is_control_of_peer(&self, number: &str) -> bool {
        self.cluster.peers().any(|peer| peer.control.as_deref() == Some(number))
    }
}

/// `"03:40"`, or `"off"`.
pub(super) fn night_time(value: &DeValue<'_>) -> Meaning<Option<NightTime>> {
    let wrong = || "write a time of the day, as \"03:40\", or \"off\"".to_owned();
    let text = value.as_str().ok_or_else(wrong)?;
    if text == "off" {
        return Ok(None);
    }
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str, below: u16| {
        let digits = text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit());
        text.parse::<u16>().ok().filter(|n| digits && *n < below)
    };
    let minutes = number(hour, 24).zip(number(minute, 60)).map(|(h, m)| 60 * h + m);
    minutes.map(|minutes| Some(NightTime { minutes })).ok_or_else(wrong)
}

/// The numbers of `[[cluster.nodes]]` against each other and against `[control]`.
pub(super) fn check_self_calls(reader: &mut Reader<'_>, config: &Config) {
    if config.cluster.profile == ClusterProfile::Single {
        return;
    }
    let nodes = &config.cluster.nodes;
    for (n, member) in nodes.iter().enumerate() {
        let Some(number) = &member.control else { continue };
        let path = format!("cluster.nodes[{n}].control");
        if let Some(other) = nodes[..n].iter().find(|other| other.control == member.control) {
            let text = format!("is that of \"{}\" too: each node has its own", other.name);
            reader.error(&path, text);
        }
        if member.id != config.cluster.me {
            continue;
        }
        let own = config.control.as_ref();
        let own = own.and_then(|control| config.ports.get(usize::from(control.port.0)));
        match own {
            Some(port) if port.extension != *number => {
                let text = format!("is not control.extension (\"{}\")", port.extension);
                reader.error(&path, text);
            }
            None if !reader.written("control") => {
                reader.error(&path, "is written, and this node has no [control]: write it");
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_night_has_two_digits_each_or_is_off() {
        let read = |text: &str| night_time(&DeValue::String(text.to_owned().into())).ok();
        let at = |minutes| Some(Some(NightTime { minutes }));
        assert_eq!((read("03:40"), read("00:00"), read("23:59")), (at(220), at(0), at(1_439)));
        assert_eq!(read("off"), Some(None));
        for wrong in ["", "3:40", "24:00", "03:60", "0340", "03:40:00", "+3:40", "never"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
