//! `portkeeper demo --against-asterisk`: the same freeze, three times over.
//!
//! Once with portkeeper; once with a stock Asterisk and its ARI; once with the best that one can
//! build around the same Asterisk in an afternoon: a supervisor that misses the application's beat
//! (every 50 ms, limit 200 ms) and lets a second process take over, which subscribes under the same
//! name, lists the channels and plays. Callers, phones, keys, prompts and the application's program
//! are the same; each instance plays a tone of its own, so what a caller hears tells who serves.
//!
//! All of it is measured at the caller, or said by the instances themselves.

mod act;
mod row;

use std::io;
use std::path::Path;

use serde_json::json;

use self::act::{Act, Rescue};
use self::row::{Row, table};
use super::Options;
use super::screen::Screen;
use crate::redact::Redacted;
use crate::sim::pbx::Manner;
use crate::stage::asterisk::{self, Asterisk};
use crate::stage::cast::{Cast, FIRST_EXTENSION, until};
use crate::stage::node::{self, PASSWORD};
use crate::stage::pbx::PbxNet;
use crate::stage::sound;

/// Calls that the frozen instance has in its hands.
const CALLS: u32 = 6;
/// Extensions of a contender: its calls, and one for the call that comes later.
const EXTENSIONS: u32 = CALLS + 1;

/// Names of the menus, and the tones in them, in Hz.
const MENUS: [(&str, u32); 2] = [("menu-first", 500), ("menu-second", 800)];
const MENU_MS: u32 = 2_000;

/// Plays it; whether portkeeper lost nothing.
pub fn run(options: &Options, directory: &Path) -> io::Result<bool> {
    Asterisk::look()?;
    let mut screen = Screen::new(options.json);
    let rows = [
        with_portkeeper(&mut screen, &directory.join("portkeeper"))?,
        with_asterisk(&mut screen, directory, "stock Asterisk, ARI", Rescue::Nobody)?,
        with_asterisk(&mut screen, directory, "Asterisk, supervisor", Rescue::Supervisor)?,
    ];
    screen.say("");
    for line in table(&rows).lines() {
        screen.plain(line);
    }
    if options.json {
        let contenders: Vec<_> = rows.iter().map(Row::json).collect();
        screen.result(&json!({ "calls": CALLS, "contenders": contenders }).to_string());
    }
    Ok(rows[0].is_clean())
}

fn with_portkeeper(screen: &mut Screen, directory: &Path) -> io::Result<Row> {
    std::fs::create_dir_all(directory)?;
    screen.say("portkeeper: a node and two instances");
    // A node reads its prompts when it starts.
    write_menus(&directory.join("prompts"))?;
    let troupe = Cast { ports: EXTENSIONS, directory: directory.to_owned() }.start()?;
    let act = Act {
        name: "portkeeper",
        pbx: &troupe.pbx,
        ari: troupe.node.ari,
        api_key: node::API_KEY,
        rescue: Rescue::Gateway,
    };
    let row = act.play(screen)?;
    troupe.node.stop()?;
    Ok(row)
}

fn with_asterisk(
    screen: &mut Screen,
    directory: &Path,
    name: &'static str,
    rescue: Rescue,
) -> io::Result<Row> {
    screen.say(&format!("{name}: a real Asterisk starts"));
    let (first, last) = (FIRST_EXTENSION, FIRST_EXTENSION + EXTENSIONS - 1);
    let password = Redacted::new(PASSWORD.to_owned());
    let accounts = (first..=last).map(|n| (n.to_string(), password.clone())).collect();
    let pbx = PbxNet::start(accounts, Manner::default())?;
    let prompts = directory.join("prompts");
    sound::write_prompts(&prompts)?;
    write_menus(&prompts)?;
    let setting = asterisk::Setting {
        pbx: pbx.address,
        extensions: (first, last),
        prompts,
        dialplan: "exten => _play-.,1,Set(GW_CALL=${EXTEN:5})\n same => n,Stasis(main)\n"
            .to_owned(),
        real_time: false,
    };
    let asterisk = Asterisk::start(&setting, &directory.join("asterisk.log"))?;
    until("Asterisk's extensions are registered", || {
        Ok(pbx.report().registered == EXTENSIONS as usize)
    })?;
    let (ari, api_key) = (asterisk.ari, asterisk::API_KEY);
    Act { name, pbx: &pbx, ari, api_key, rescue }.play(screen)
}

fn write_menus(prompts: &Path) -> io::Result<()> {
    std::fs::create_dir_all(prompts)?;
    for (name, hz) in MENUS {
        sound::write_tone(&prompts.join(format!("{name}.wav")), hz, MENU_MS)?;
    }
    Ok(())
}
