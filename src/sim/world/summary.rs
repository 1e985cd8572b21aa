//! What came of the calls, for the last lines of a script.

use super::super::checks::CallCheck;
use super::super::site;
use super::World;
use crate::ids::PortId;

impl World {
    /// One line for each call, those that are over first, then one for the sound of each port.
    pub fn summary(&self) -> Vec<String> {
        let over = self.checks.over.iter();
        let calls = over.chain(self.checks.calls().map(|(_, call)| call)).map(of_call);
        let sound = (0..).zip(&self.lines).filter_map(|(port, line)| {
            let (packets, gap) = (line.stream.packets, line.stream.longest_gap);
            let extension = site::extension(PortId(port));
            let text = format!("{extension}: longest gap in its sound {} ms", gap.as_millis());
            (packets > 1).then_some(text)
        });
        calls.chain(sound).collect()
    }
}

fn of_call(call: &CallCheck) -> String {
    let word = |keys: String| if keys.is_empty() { "nothing".to_owned() } else { keys };
    let (typed, delivered) = (word(call.typed()), word(call.delivered()));
    let (extension, rebinds) = (site::extension(call.port), call.rebinds);
    let plural = if rebinds == 1 { "" } else { "s" };
    format!("{extension}: typed {typed}, delivered {delivered}, {rebinds} rebind{plural}")
}
