//! Calls of the control extension: the menu of each, and what is remembered between them.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{CallId, MediaId, RequestId};
use crate::menu::{AlertCalls, Entry, Menu, Proposal};
use crate::timers::Instant;

/// Requests of the menu have numbers from here on: those of operators are counted from 1.
const REQUESTS_FROM: u64 = 1 << 62;

/// Why a call is placed or taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody speaks with the menu.
    Menu(Entry),
    /// A telephone hears that the system restarts.
    RestartMessage,
}

/// One call.
#[derive(Debug)]
pub struct Control {
    /// `None`: it hears one message.
    pub menu: Option<Menu>,
    pub purpose: Purpose,
    /// What is being said, and as which playback.
    pub says: Option<(u32, MediaId)>,
    /// Index in the on-call list, where it is an alert call.
    pub person: Option<usize>,
    /// The menu was told that the call is up.
    pub began: bool,
    /// A key was pressed in it: no voice mail does that.
    pub keyed: bool,
    /// So many keys of it, from the first on, were those by which another node says that it tests
    /// this extension; `None`: it is no test.
    pub test_keys: Option<usize>,
}

impl Control {
    /// A person of the on-call list, or his voice mail, listens and presses no key.
    pub const fn only_listens(&self) -> bool {
        self.person.is_some() && self.began && !self.keyed
    }
}

/// All of them.
#[derive(Debug)]
pub struct Controls {
    pub calls: BTreeMap<CallId, Control>,
    /// Orders of a menu that wait for the cluster.
    pub orders: BTreeMap<RequestId, CallId>,
    /// Calls to place when the extension is free: whom, why, and for which person of the list.
    pub to_place: VecDeque<(String, Purpose, Option<usize>)>,
    pub alerts: AlertCalls,
    /// A primary stopped in order: people hear of it unless another one acts by then.
    pub stopped_until: Option<Instant>,
    /// A forced promotion that waits for a second agent, until then.
    pub proposal: Option<(Proposal, Instant)>,
    /// Who may not call is not written down again until then.
    pub unwelcome_until: Option<Instant>,
    pub texts: Texts,
    pub trunk: Trunk,
    requests: u64,
}

/// What the trunk does with OPTIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trunk {
    /// Not known yet.
    Untried,
    /// It answers.
    Answers,
    /// It has answered before.
    Silent,
    /// It never has: there are providers that do not.
    Unheard,
}

impl Trunk {
    /// Its state after an answer, or after none for long enough.
    pub const fn after(self, answers: bool) -> Self {
        match (self, answers) {
            (_, true) => Self::Answers,
            (Self::Answers | Self::Silent, false) => Self::Silent,
            (Self::Untried | Self::Unheard, false) => Self::Unheard,
        }
    }

    /// Its name in `status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Answers => "answers",
            Self::Silent => "silent",
            Self::Unheard => "unheard",
        }
    }
}

/// Texts to telephones.
#[derive(Debug, Default)]
pub struct Texts {
    /// The PBX takes none.
    pub refused: bool,
    /// To whom, and whether the telephone is called if it gets none.
    pub under_way: BTreeMap<u32, (String, bool)>,
    /// So many so far.
    pub sent: u32,
}

impl Controls {
    pub fn new(alerts: AlertCalls) -> Self {
        Self {
            calls: BTreeMap::new(),
            orders: BTreeMap::new(),
            to_place: VecDeque::new(),
            alerts,
            stopped_until: None,
            proposal: None,
            unwelcome_until: None,
            texts: Texts::default(),
            trunk: Trunk::Untried,
            requests: REQUESTS_FROM,
        }
    }

    /// A number for an order of this call's menu.
    pub fn order_of(&mut self, call: CallId) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.orders.insert(id, call);
        id
    }
}
