//! Planted bugs, by which the simulator's checkers are judged: a checker that finds none of them
//! checks nothing.
//!
//! Compiled in only under feature `mutants`; without it [`mutant`] is a constant `false` and the
//! planted code is gone. One bug at a time, chosen per thread, so that tests beside each other do
//! not meet.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Fencing: a call is taken from its owner without a new generation.
    KeepGeneration,
    /// Fencing: a command of an older generation claims and acknowledges.
    AcceptStale,
    /// Fencing: the old owner is not told, and its token stays alive in the link.
    ForgetRevoke,
    /// Rebind: the instance that just failed may get the call again.
    OfferToHung,
    /// Rebind: the ports of an instance that hung are not all moved.
    LeaveOneBehind,
    /// Rebind: the load of the old owner keeps the call.
    LeakLoad,
    /// Health: a late node takes its own lateness for the silence of an instance.
    IgnoreLateness,
    /// Digits: what was acknowledged is replayed too.
    ReplayAcked,
    /// Digits: what is not acknowledged is lost at a rebind.
    ForgetUnacked,
    /// Digits: those held for the next owner are lost when the offer is made.
    DropHeld,
    /// Digits: a digit is delivered a second time.
    DoubleDigit,
    /// Digits: replayed at once instead of 150 ms apart.
    SkipPacing,
    /// Digits: delivered before the first command of a new owner.
    SkipHold,
    /// Digits: the last of several that wait goes first.
    Reorder,
    /// Lease: the holder counts from the answer instead of from its request.
    CountFromAnswer,
    /// Lease: the holder trusts its lease for longer than the voters grant it.
    HoldTooLong,
    /// Lease: a promise is granted before it is durable.
    GrantBeforeDurable,
    /// Lease: a voter speaks at once after its start, having forgotten what it granted.
    NoBootWait,
    /// Lease: a voter grants while another one's grant lasts.
    GrantTwice,
    /// Lease: a voter promises an epoch that is not higher than what it promised.
    PromiseLower,
    /// Lease: a candidate acts before its own promise is durable.
    ActBeforeDurable,
    /// Lease: the late release of an earlier candidacy frees the present one.
    ReleaseLate,
    /// Lease: in a pair, silence is proof.
    PairWithoutProof,
    /// Lease: a late mark overtakes a newer one at the witness.
    SoloUnordered,
    /// Lease: the witness takes marks from whoever does not hold.
    SoloOfAnybody,
    /// Lease: a candidate serves without the facts of the one who went on alone.
    ServeWithoutFacts,
    /// Facts: acknowledged when durable here, without anybody else.
    AckAlone,
    /// Facts: a peer is told of facts that wait for the disk.
    TellUndurable,
    /// Facts: the right to go on alone outlives its epoch.
    InheritSolo,
    /// Facts: acknowledged alone after the witness was asked to clear its note.
    AckWhileLeaving,
    /// Facts: the note is cleared before everything is on the other node.
    LeaveEarly,
    /// Facts: what follows a lost message is taken for what comes next.
    AcceptGap,
    /// Roles: a packet that claims leaves without a look at the lease.
    SendUnchecked,
    /// Roles: a node that lost its lease goes on as if it had it.
    KeepServing,
    /// Roles: one port is not registered at a promotion.
    LeaveOnePort,
    /// Roles: bindings are not looked after once they are granted.
    VerifyNever,
    /// Roles: what another node wrote of agents is stored and not learned.
    UnlearnedAgents,
    /// Recovery: the backup hears of no call.
    CopyNothing,
    /// Recovery: copies are without the keys that are not acknowledged.
    CopyWithoutKeys,
    /// Recovery: copies are without what the application keeps with the call.
    LoseCheckpoint,
    /// Recovery: copies of calls that have ended are kept.
    KeepEnded,
    /// Recovery: a call that has its CDR is carried on.
    CarryOnOver,
    /// Recovery: one call of those that were copied is left.
    LoseOneCall,
    /// Recovery: calls on hold are taken for ended.
    HeldIsOver,
    /// Recovery: the call goes on without sound.
    SilentCall,
    /// Recovery: nobody is asked to own the call.
    NoNewOwner,
}

impl Mutant {
    /// Each of those in the pool and the calls.
    pub const ALL: &[Self] = &[
        Self::KeepGeneration,
        Self::AcceptStale,
        Self::ForgetRevoke,
        Self::OfferToHung,
        Self::LeaveOneBehind,
        Self::LeakLoad,
        Self::IgnoreLateness,
        Self::ReplayAcked,
        Self::ForgetUnacked,
        Self::DropHeld,
        Self::DoubleDigit,
        Self::SkipPacing,
        Self::SkipHold,
        Self::Reorder,
    ];

    /// Each of those in the lease and the roles.
    pub const OF_LEASE: &[Self] = &[
        Self::CountFromAnswer,
        Self::HoldTooLong,
        Self::GrantBeforeDurable,
        Self::NoBootWait,
        Self::GrantTwice,
        Self::PromiseLower,
        Self::ActBeforeDurable,
        Self::ReleaseLate,
        Self::PairWithoutProof,
        Self::SoloUnordered,
        Self::SoloOfAnybody,
        Self::ServeWithoutFacts,
    ];

    /// Each of those in the shipping of facts.
    pub const OF_FACTS: &[Self] = &[
        Self::AckAlone,
        Self::TellUndurable,
        Self::InheritSolo,
        Self::AckWhileLeaving,
        Self::LeaveEarly,
        Self::AcceptGap,
    ];

    /// Each that the world of three nodes is asked to find.
    pub const OF_CLUSTER: &[Self] = &[
        Self::CountFromAnswer,
        Self::HoldTooLong,
        Self::GrantTwice,
        Self::PromiseLower,
        Self::KeepServing,
        Self::LeaveOnePort,
        Self::VerifyNever,
        Self::UnlearnedAgents,
        Self::CopyNothing,
        Self::CopyWithoutKeys,
        Self::LoseCheckpoint,
        Self::KeepEnded,
        Self::CarryOnOver,
        Self::LoseOneCall,
        Self::HeldIsOver,
        Self::SilentCall,
        Self::NoNewOwner,
    ];
}

#[cfg(feature = "mutants")]
mod active {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants a bug in everything that this thread runs; `None` takes it out again.
    pub fn plant(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }

    /// Whether this bug is planted.
    pub fn mutant(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use active::{mutant, plant};

/// Whether this bug is planted: never, without feature `mutants`.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn mutant(_: Mutant) -> bool {
    false
}
