//! What a node's memory grows by for each port and each call: a whole node, registered ports and
//! calls that an instance serves.

use std::io;
use std::path::Path;

use super::load;
use crate::stage::cast::{Cast, Troupe};
use crate::stage::node::pause;
use crate::timers::Duration;

/// What a call needs it has after this.
const SETTLE: Duration = Duration::from_secs(2);

/// Resident memory, in bytes for each port.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// A registered port without a call.
    pub(super) idle_port: u64,
    /// A port with a call, all told.
    pub(super) call: u64,
}

/// Compares a node of many ports with one of a single port, without calls and with a call on each.
pub(super) fn measure(ports: u16) -> io::Result<Memory> {
    let directory = std::env::temp_dir().join(format!("portkeeper-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let memory = compare(ports.into(), &directory)?;
    std::fs::remove_dir_all(&directory)?;
    Ok(memory)
}

fn compare(ports: u32, directory: &Path) -> io::Result<Memory> {
    let single = registered(1, directory)?;
    let base = load::resident_bytes_of(single.node.pid());
    single.node.stop()?;
    let mut troupe = registered(ports, directory)?;
    let each = |grown: u64| grown.saturating_sub(base) / u64::from(ports.saturating_sub(1).max(1));
    let idle_port = each(load::resident_bytes_of(troupe.node.pid()));
    troupe.add_instance()?;
    troupe.call(ports, 0)?;
    pause(SETTLE);
    let call = each(load::resident_bytes_of(troupe.node.pid()));
    troupe.node.stop()?;
    Ok(Memory { idle_port, call })
}

fn registered(ports: u32, directory: &Path) -> io::Result<Troupe> {
    let troupe = Cast { ports, directory: directory.to_owned() }.start()?;
    pause(SETTLE);
    Ok(troupe)
}
