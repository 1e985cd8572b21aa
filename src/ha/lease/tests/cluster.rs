//! Members of one cluster with links that can be cut and disks that can be slow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::SeedableRng;

use crate::ha::lease::{Input, Lease, Message, Output, Site, Timers};
use crate::ids::{Epoch, NodeId, Rng};
use crate::store::{Ticket, Vote};
use crate::timers::{Duration, Instant};

pub const A: NodeId = NodeId(0);
pub const B: NodeId = NodeId(1);
pub const W: NodeId = NodeId(2);

/// One node and its disk.
pub struct Member {
    pub lease: Lease,
    pub disk: Vote,
    boot: u32,
    /// Writes that have not reached the disk.
    writes: VecDeque<(Ticket, Vote)>,
    /// What it said, other than messages and writes.
    pub said: Vec<Output>,
}

/// All of them.
pub struct Cluster {
    pub now: Instant,
    site: Site,
    pub members: BTreeMap<NodeId, Member>,
    /// Directions in which nothing arrives.
    pub cut: BTreeSet<(NodeId, NodeId)>,
    /// Disks that write nothing.
    pub stuck: BTreeSet<NodeId>,
    /// Every message that was sent, delivered or not.
    pub sent: Vec<(NodeId, NodeId, Message)>,
    link: VecDeque<(NodeId, NodeId, Message)>,
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn site(nodes: &[NodeId], witness: Option<NodeId>) -> Site {
    Site { me: A, nodes: nodes.to_vec(), witness, other_pbx: false, timers: Timers::LAN }
}

impl Cluster {
    pub fn new(site: Site) -> Self {
        let nodes: Vec<_> = site.nodes.iter().copied().chain(site.witness).collect();
        let mut cluster = Self {
            now: Instant::ZERO + ms(1),
            site,
            members: BTreeMap::new(),
            cut: BTreeSet::new(),
            stuck: BTreeSet::new(),
            sent: Vec::new(),
            link: VecDeque::new(),
        };
        for node in nodes {
            cluster.start(node, Vote::default(), 1);
        }
        cluster
    }

    /// Two nodes and a witness that have started and are past their silence.
    pub fn trio() -> Self {
        let mut cluster = Self::new(site(&[A, B], Some(W)));
        cluster.run(700);
        cluster
    }

    pub fn pair() -> Self {
        Self::new(site(&[A, B], None))
    }

    pub fn pair_of_two_pbxs() -> Self {
        Self::new(Site { other_pbx: true, ..site(&[A, B], None) })
    }

    pub fn single() -> Self {
        Self::new(site(&[A], None))
    }

    fn start(&mut self, node: NodeId, disk: Vote, boot: u32) {
        let site = Site { me: node, ..self.site.clone() };
        let rng = Rng::seed_from_u64(u64::from(node.0));
        let lease = Lease::new(self.now, site, disk, boot, rng);
        let member = Member { lease, disk, boot, writes: VecDeque::new(), said: Vec::new() };
        self.members.insert(node, member);
        self.settle();
    }

    /// The process ends; what was not written is lost.
    pub fn kill(&mut self, node: NodeId) -> (Vote, u32) {
        let member = self.members.remove(&node).expect("a member");
        (member.disk, member.boot)
    }

    pub fn restart(&mut self, node: NodeId, (disk, boot): (Vote, u32)) {
        self.start(node, disk, boot + 1);
    }

    pub fn cut(&mut self, one: NodeId, other: NodeId) {
        self.cut.extend([(one, other), (other, one)]);
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn input(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        self.lease(node).handle_input(now, input);
        self.settle();
    }

    pub fn receive(&mut self, to: NodeId, from: NodeId, message: Message) {
        self.input(to, Input::Received { from, message });
    }

    pub fn lease(&mut self, node: NodeId) -> &mut Lease {
        &mut self.members.get_mut(&node).expect("a member").lease
    }

    /// Runs everything that is due, until nothing is left at this moment.
    pub fn settle(&mut self) {
        loop {
            self.collect();
            self.write();
            let Some((from, to, message)) = self.link.pop_front() else {
                if self.members.values().all(|m| m.writes.is_empty() || self.stuck(m)) {
                    return;
                }
                continue;
            };
            if self.cut.contains(&(from, to)) {
                continue;
            }
            if let Some(member) = self.members.get_mut(&to) {
                member.lease.handle_input(self.now, Input::Received { from, message });
            }
        }
    }

    fn stuck(&self, member: &Member) -> bool {
        self.stuck.contains(&member.lease.site().me)
    }

    fn collect(&mut self) {
        for (&node, member) in &mut self.members {
            while let Some(output) = member.lease.poll_output() {
                match output {
                    Output::Send { to, message } => {
                        self.sent.push((node, to, message.clone()));
                        self.link.push_back((node, to, message));
                    }
                    Output::Persist { ticket, vote } => member.writes.push_back((ticket, vote)),
                    said => member.said.push(said),
                }
            }
        }
    }

    fn write(&mut self) {
        for (node, member) in &mut self.members {
            if self.stuck.contains(node) {
                continue;
            }
            for (ticket, vote) in std::mem::take(&mut member.writes) {
                member.disk = vote;
                member.lease.handle_input(self.now, Input::Persisted(ticket));
            }
        }
        self.collect();
    }

    /// Lets time pass.
    pub fn run(&mut self, millis: u64) {
        let end = self.now + ms(millis);
        self.settle();
        loop {
            let next = self.members.values().filter_map(|m| m.lease.poll_timeout()).min();
            let Some(next) = next.filter(|&at| at <= end) else { break };
            assert!(next > self.now || self.now == Instant::ZERO, "a deadline that stays due");
            self.now = next;
            for member in self.members.values_mut() {
                member.lease.handle_timeout(next);
            }
            self.settle();
        }
        self.now = end;
        for member in self.members.values_mut() {
            member.lease.handle_timeout(end);
        }
        self.settle();
    }

    /// Who holds at this moment; more than one is a fault of its own.
    pub fn holder(&self) -> Option<NodeId> {
        let mut holders = self.members.iter().filter(|(_, m)| m.lease.holds(self.now));
        let first = holders.next().map(|(&node, _)| node);
        assert!(holders.next().is_none(), "two holders");
        first
    }

    pub fn epoch(&self, node: NodeId) -> Option<Epoch> {
        let holder = self.members[&node].lease.holder(self.now);
        holder.filter(|&(by, _)| by == node).map(|(_, epoch)| epoch)
    }

    /// What a node said since it was last asked.
    pub fn said(&mut self, node: NodeId) -> Vec<Output> {
        std::mem::take(&mut self.members.get_mut(&node).expect("a member").said)
    }
}
