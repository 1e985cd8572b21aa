//! The registrar list: which node of the PBX has which address.
//!
//! An entry of `pbx.registrars` is an address, or a name that the driver resolves. An address is
//! one node of the list, a name has room for four, filled as far as it resolves; so a node keeps
//! its number for life, and with it its pacing, its watch and its bindings, while its address may
//! change. A name is asked at the start, again after growing pauses while it does not resolve, and
//! again when a REGISTER at one of its nodes fails, because a PBX that moved is found by its name
//! only. What resolved once stays until the name says otherwise: a name server that is down must
//! take no port along. Addresses of the other family than `pbx.local_address` are left out, for no
//! socket reaches them.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::timers::{Duration, Instant, earliest};

/// Addresses of one name that are nodes of the list at most.
const ADDRESSES_MAX: usize = 4;
/// Pauses while a name does not resolve: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_LAST: Duration = Duration::from_secs(60);
/// A name that resolves is asked at most this often, however many ports fail.
const DOUBT_PAUSE: Duration = Duration::from_secs(15);

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// What a lookup found, or why it found nothing.
    Found { entry: usize, found: Result<Vec<SocketAddr>, String> },
    /// A REGISTER at this node failed.
    Doubt { node: usize },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Resolve an entry.
    Ask { entry: usize },
    /// These nodes have another address than before, or none any more.
    Changed { nodes: BTreeSet<usize> },
    /// An entry does not resolve, or does again (`None`).
    Lost { entry: usize, why: Option<String> },
}

#[derive(Clone, Debug)]
enum State {
    /// Written as an address.
    Fixed,
    /// A lookup is under way; `failed` of them in a row before it.
    Asking { failed: u32 },
    /// The last lookup failed.
    Lost { failed: u32, ask_at: Instant },
    /// The last lookup found addresses. `ask_at`: one of them is in doubt.
    Known { asked_at: Instant, ask_at: Option<Instant> },
}

#[derive(Clone, Debug)]
struct Entry {
    written: String,
    nodes: Range<usize>,
    state: State,
}

/// One node of the list.
#[derive(Clone, Debug)]
struct Node {
    entry: usize,
    /// The last one known: what still belongs there, as taking a binding away, goes there.
    address: Option<SocketAddr>,
    /// The list has it.
    listed: bool,
}

/// The list. A machine.
#[derive(Clone, Debug)]
pub(crate) struct Registrars {
    /// Whose family counts.
    local: IpAddr,
    entries: Vec<Entry>,
    nodes: Vec<Node>,
    outputs: VecDeque<Output>,
}

impl Registrars {
    /// `written`: entries as `host:port`.
    pub(crate) fn new(written: &[String], local: IpAddr) -> Self {
        let mut list =
            Self { local, entries: Vec::new(), nodes: Vec::new(), outputs: VecDeque::new() };
        for (entry, written) in written.iter().enumerate() {
            let address: Option<SocketAddr> = written.parse().ok();
            let first = list.nodes.len();
            let room = if address.is_some() { 1 } else { ADDRESSES_MAX };
            let node = Node { entry, address, listed: address.is_some() };
            list.nodes.extend(std::iter::repeat_n(node, room));
            let state = match address {
                Some(_) => State::Fixed,
                None => State::Lost { failed: 0, ask_at: Instant::ZERO },
            };
            list.entries.push(Entry {
                written: written.clone(),
                nodes: first..list.nodes.len(),
                state,
            });
        }
        list
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Found { entry, found } => self.found(now, entry, found),
            Input::Doubt { node } => self.doubt(now, node),
        }
    }

    fn found(&mut self, now: Instant, index: usize, found: Result<Vec<SocketAddr>, String>) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let State::Asking { failed } = entry.state else { return };
        match usable(found, self.local) {
            Ok(addresses) => {
                entry.state = State::Known { asked_at: now, ask_at: None };
                if failed > 0 {
                    self.outputs.push_back(Output::Lost { entry: index, why: None });
                }
                self.place(index, addresses);
            }
            Err(why) => {
                let pause = PAUSE_FIRST.saturating_mul(1 << failed.min(8)).min(PAUSE_LAST);
                let failed = failed.saturating_add(1);
                entry.state = State::Lost { failed, ask_at: now + pause };
                self.outputs.push_back(Output::Lost { entry: index, why: Some(why) });
            }
        }
    }

    /// An address that stays keeps its node; new ones take the nodes that are free.
    fn place(&mut self, index: usize, mut addresses: Vec<SocketAddr>) {
        let elsewhere = |a: &SocketAddr| {
            self.nodes.iter().any(|n| n.entry != index && n.listed && n.address == Some(*a))
        };
        addresses.retain(|address| !elsewhere(address));
        addresses.truncate(ADDRESSES_MAX);
        let room = self.entries.get(index).map_or(0..0, |entry| entry.nodes.clone());
        let before = self.nodes[room.clone()].to_vec();
        let stays =
            |node: &Node| node.listed && node.address.is_some_and(|a| addresses.contains(&a));
        let mut new: VecDeque<_> = {
            let had = |a: &SocketAddr| before.iter().any(|n| n.listed && n.address == Some(*a));
            addresses.iter().copied().filter(|address| !had(address)).collect()
        };
        let mut changed = BTreeSet::new();
        for (number, node) in room.zip(before) {
            if stays(&node) {
                continue;
            }
            let next = new.pop_front();
            if next.is_some() || node.listed {
                let address = next.or(node.address);
                self.nodes[number] = Node { entry: index, address, listed: next.is_some() };
                changed.insert(number);
            }
        }
        if !changed.is_empty() {
            self.outputs.push_back(Output::Changed { nodes: changed });
        }
    }

    fn doubt(&mut self, now: Instant, node: usize) {
        let Some(entry) = self.nodes.get(node).and_then(|n| self.entries.get_mut(n.entry)) else {
            return;
        };
        if let State::Known { asked_at, ask_at: ref mut ask_at @ None } = entry.state {
            *ask_at = Some(now.max(asked_at + DOUBT_PAUSE));
        }
    }

    /// Asks what is due. Harmless when called early.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if due(&entry.state).is_none_or(|at| now < at) {
                continue;
            }
            let failed = if let State::Lost { failed, .. } = entry.state { failed } else { 0 };
            entry.state = State::Asking { failed };
            self.outputs.push_back(Output::Ask { entry: index });
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.entries.iter().map(|entry| due(&entry.state)))
    }

    /// Nodes of the list, those without an address among them.
    pub(crate) const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes that have an address.
    pub(crate) fn listed(&self) -> BTreeSet<usize> {
        let listed = self.nodes.iter().enumerate().filter(|(_, node)| node.listed);
        listed.map(|(number, _)| number).collect()
    }

    /// Whether a node has an address.
    pub(crate) fn lists(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.listed)
    }

    /// How many nodes have an address.
    pub(crate) fn count(&self) -> usize {
        self.nodes.iter().filter(|node| node.listed).count()
    }

    /// Where a node is, or was last.
    pub(crate) fn address(&self, node: usize) -> Option<SocketAddr> {
        self.nodes.get(node)?.address
    }

    /// The node that is at an address.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<usize> {
        self.nodes.iter().position(|node| node.listed && node.address == Some(address))
    }

    /// The addresses of the nodes that have one.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.nodes.iter().filter(|node| node.listed).filter_map(|node| node.address)
    }

    /// What the configuration says of a node.
    pub(crate) fn written(&self, node: usize) -> Option<&str> {
        let node = self.nodes.get(node)?;
        self.entries.get(node.entry).map(|entry| entry.written.as_str())
    }
}

fn due(state: &State) -> Option<Instant> {
    match *state {
        State::Fixed | State::Asking { .. } => None,
        State::Lost { ask_at, .. } => Some(ask_at),
        State::Known { ask_at, .. } => ask_at,
    }
}

fn usable(
    found: Result<Vec<SocketAddr>, String>,
    local: IpAddr,
) -> Result<Vec<SocketAddr>, String> {
    let mut usable: Vec<SocketAddr> = Vec::new();
    for address in found? {
        if address.is_ipv4() == local.is_ipv4() && !usable.contains(&address) {
            usable.push(address);
        }
    }
    if usable.is_empty() {
        let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!("it has no {family} address, as pbx.local_address is"));
    }
    Ok(usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

    fn secs(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 5060))
    }

    fn list(written: &[&str]) -> Registrars {
        let written: Vec<_> = written.iter().map(|&w| w.to_owned()).collect();
        Registrars::new(&written, LOCAL)
    }

    fn outputs(list: &mut Registrars) -> Vec<Output> {
        std::iter::from_fn(|| list.poll_output()).collect()
    }

    fn find(list: &mut Registrars, now: Instant, found: Result<Vec<SocketAddr>, &str>) {
        list.handle_timeout(now);
        let found = found.map_err(str::to_owned);
        list.handle_input(now, Input::Found { entry: 0, found });
    }

    fn changed(nodes: &[usize]) -> Output {
        Output::Changed { nodes: nodes.iter().copied().collect() }
    }

    #[test]
    fn addresses_are_nodes_at_once_and_are_never_asked_for() {
        let mut list = list(&["10.0.0.1:5060", "10.0.0.2:5060"]);
        list.handle_input(secs(1), Input::Doubt { node: 0 });
        list.handle_timeout(secs(100));
        assert_eq!((outputs(&mut list), list.poll_timeout()), (vec![], None));
        assert_eq!(list.listed(), [0, 1].into());
        assert_eq!(list.address(1), Some(at(2)));
    }

    #[test]
    fn a_name_that_does_not_resolve_is_asked_again_after_growing_pauses() {
        let mut list = list(&["pbx.example:5060"]);
        let mut asked = Vec::new();
        while asked.len() < 8 {
            let now = list.poll_timeout().expect("asked again");
            asked.push(now.as_nanos() / 1_000_000_000);
            find(&mut list, now, Err("no such name"));
        }
        assert_eq!(asked, [0, 2, 6, 14, 30, 62, 122, 182]);
        assert_eq!(list.count(), 0);
        outputs(&mut list);
        find(&mut list, secs(242), Ok(vec![at(1)]));
        let found = [Output::Ask { entry: 0 }, Output::Lost { entry: 0, why: None }, changed(&[0])];
        assert_eq!(outputs(&mut list), found);
        assert_eq!((list.poll_timeout(), list.written(0)), (None, Some("pbx.example:5060")));
    }

    #[test]
    fn a_pbx_that_moves_keeps_its_node_and_changes_its_address() {
        let mut list = list(&["pbx.example:5060", "10.0.0.9:5060"]);
        find(&mut list, secs(0), Ok(vec![at(1), at(2)]));
        assert_eq!(list.listed(), [0, 1, 4].into());
        outputs(&mut list);
        list.handle_input(secs(100), Input::Doubt { node: 0 });
        find(&mut list, secs(100), Ok(vec![at(2), at(3)]));
        assert_eq!(outputs(&mut list), [Output::Ask { entry: 0 }, changed(&[0])]);
        assert_eq!((list.address(0), list.address(1)), (Some(at(3)), Some(at(2))));
        list.handle_input(secs(200), Input::Doubt { node: 1 });
        find(&mut list, secs(200), Ok(vec![at(3)]));
        assert_eq!(outputs(&mut list), [Output::Ask { entry: 0 }, changed(&[1])]);
        assert_eq!((list.listed(), list.address(1)), ([0, 4].into(), Some(at(2))));
    }

    #[test]
    fn a_lookup_that_fails_later_takes_no_address_away() {
        let mut list = list(&["pbx.example:5060"]);
        find(&mut list, secs(0), Ok(vec![at(1)]));
        list.handle_input(secs(50), Input::Doubt { node: 0 });
        outputs(&mut list);
        find(&mut list, secs(50), Err("no server"));
        let lost = Output::Lost { entry: 0, why: Some("no server".to_owned()) };
        assert_eq!(outputs(&mut list), [Output::Ask { entry: 0 }, lost]);
        assert_eq!((list.count(), list.poll_timeout()), (1, Some(secs(52))));
    }

    #[test]
    fn a_thousand_ports_that_fail_ask_once_in_fifteen_seconds() {
        let mut list = list(&["pbx.example:5060"]);
        find(&mut list, secs(0), Ok(vec![at(1)]));
        for _ in 0..1_000 {
            list.handle_input(secs(5), Input::Doubt { node: 0 });
        }
        assert_eq!(list.poll_timeout(), Some(secs(15)));
        find(&mut list, secs(15), Ok(vec![at(1)]));
        assert_eq!(list.poll_timeout(), None);
    }

    #[test]
    fn an_address_of_the_other_family_or_of_another_entry_is_no_node() {
        let mut list = list(&["pbx.example:5060", "10.0.0.2:5060"]);
        let v6 = "[2001:db8::5]:5060".parse().expect("address");
        find(&mut list, secs(0), Ok(vec![v6, at(2), at(1), at(1)]));
        assert_eq!(list.addresses().collect::<Vec<_>>(), [at(1), at(2)]);
        let mut list = self::list(&["pbx.example:5060"]);
        find(&mut list, secs(0), Ok(vec![v6]));
        let lost = &outputs(&mut list)[1];
        assert!(matches!(lost, Output::Lost { why: Some(why), .. } if why.contains("IPv4")));
    }
}
