//! What the outcome of a REGISTER means, and what follows from it.

use rand_core::RngCore;

use super::{Answer, Bound, Contacts, Registration, Repair, Round, State};
use crate::sip::RegistrationState;
use crate::sip::pacing::RETRY_AFTER_MAX;
use crate::timers::{Duration, Instant};

/// Pause after the account was refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(600);
/// Pauses after all nodes failed: doubled from the first to the last.
const BACKOFF_FIRST: Duration = Duration::from_secs(4);
const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// Pause after a refusal while another node's binding may linger.
const TAKE_OVER_PAUSE: Duration = Duration::from_secs(5);
/// Pause after a nonce that was over before its answer arrived: that is no refusal at all.
const NONCE_PAUSE: Duration = Duration::from_secs(1);
/// Repairs of a binding that somebody unknown has, and within which time.
const REPAIRS_MAX: usize = 3;
const REPAIRS_WITHIN: Duration = Duration::from_secs(60);
/// A refresh never comes faster than this, whatever was granted.
const REFRESH_MIN: Duration = Duration::from_secs(1);
/// Largest Min-Expires that is obeyed: a day.
const MIN_EXPIRES_MAX: u32 = 86_400;

impl Registration {
    pub(super) fn answer(&mut self, now: Instant, answer: &Answer) {
        match self.state {
            State::Leaving { again } => self.left(now, again),
            State::Pending { round, leave } => {
                if (200..300).contains(&answer.status) && answer.granted > 0 {
                    self.bound = Some(Bound { node: round.node });
                }
                if leave { self.leave() } else { self.judge(now, round, answer) }
            }
            // Nothing is out.
            State::Off
            | State::Delayed { .. }
            | State::Nowhere
            | State::Queued { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::LeaveQueued => {}
        }
    }

    fn judge(&mut self, now: Instant, round: Round, answer: &Answer) {
        match answer.status {
            // CUCM's standby node accepts and grants nothing: not a binding.
            200..=299 if answer.granted == 0 => self.node_failed(now, round, Some(200), None),
            200..=299 => self.granted(now, round, answer),
            401 | 407 if !answer.stale => self.password_refused(answer),
            423 => self.too_brief(now, round, answer),
            401 | 407 | 408 | 480 | 500.. => {
                self.node_failed(now, round, Some(answer.status), answer.retry_after);
            }
            _ => self.account_refused(now, answer.status),
        }
    }

    fn granted(&mut self, now: Instant, round: Round, answer: &Answer) {
        let half = Duration::from_secs(u64::from(answer.granted)) / 2;
        // 45-55 % of the granted time: half, because PBXs with a wrong clock drop bindings early;
        // spread, because a pool that registered together would refresh together for ever.
        let refresh = half * 9 / 10 + self.draw(half / 5);
        self.state = State::Registered { refresh_at: now + refresh.max(REFRESH_MIN) };
        self.believe_at = None;
        if answer.repair.is_some_and(|repair| self.may_repair(now, repair)) {
            self.state = State::Registered { refresh_at: now + REFRESH_MIN };
        } else {
            self.check_contacts(answer.contacts);
        }
        self.report(RegistrationState::Registered { expires: answer.granted, node: round.node });
        // A better node that just failed is asked again when its watch says so, not before.
        if round.failed > 0 {
            self.preferred = self.preferred.max(round.node);
        }
    }

    fn may_repair(&mut self, now: Instant, repair: Repair) -> bool {
        let old = |at: &Instant| now.saturating_duration_since(*at) >= REPAIRS_WITHIN;
        self.repairs.retain(|at| !old(at));
        let may = repair == Repair::Always || self.repairs.len() < REPAIRS_MAX;
        if may && repair == Repair::Bounded {
            self.repairs.push_back(now);
        }
        may
    }

    fn check_contacts(&mut self, contacts: Contacts) {
        if self.contacts == contacts {
            return;
        }
        self.contacts = contacts;
        match contacts {
            Contacts::Ours => self.alarm_over(),
            Contacts::Shared => self.alarm("another device is bound to this extension as well"),
            Contacts::Foreign => self.alarm("the PBX lists another device, and not this port"),
        }
    }

    fn password_refused(&mut self, answer: &Answer) {
        self.refuse(answer.status, None, answer.withheld);
    }

    fn account_refused(&mut self, now: Instant, status: u16) {
        if !self.asks_again(now, 0, TAKE_OVER_PAUSE) {
            self.refuse(status, Some(now + REFUSED_PAUSE), None);
        }
    }

    /// A registrar may refuse for as long as another node's binding lasts: that says nothing of the
    /// account, and no person need hear of it.
    fn asks_again(&mut self, now: Instant, attempt: u32, pause: Duration) -> bool {
        let again = self.believe_at.is_some_and(|at| now < at);
        if again {
            self.bound = None;
            self.state = State::Backoff { attempt, retry_at: now + pause };
        }
        again
    }

    fn refuse(&mut self, status: u16, retry_at: Option<Instant>, why: Option<&'static str>) {
        self.bound = None;
        self.state = State::Refused { retry_at };
        self.report(RegistrationState::Refused { status, why });
    }

    fn too_brief(&mut self, now: Instant, round: Round, answer: &Answer) {
        let allowed = round.expires.saturating_add(1)..=MIN_EXPIRES_MAX;
        match answer.min_expires {
            Some(min) if !round.raised && allowed.contains(&min) => {
                self.send(Round { expires: min, raised: true, ..round });
            }
            _ => {
                let why = Some("the PBX allows no interval");
                self.refuse(423, Some(now + REFUSED_PAUSE), why);
            }
        }
    }

    pub(super) fn failed(&mut self, now: Instant, status: Option<u16>) {
        match self.state {
            State::Leaving { again } => self.left(now, again),
            State::Pending { leave: true, .. } => self.leave(),
            State::Pending { round, leave: false } => self.node_failed(now, round, status, None),
            State::Off
            | State::Delayed { .. }
            | State::Nowhere
            | State::Queued { .. }
            | State::Registered { .. }
            | State::Refused { .. }
            | State::Backoff { .. }
            | State::LeaveQueued => {}
        }
    }

    pub(super) fn node_failed(
        &mut self,
        now: Instant,
        round: Round,
        status: Option<u16>,
        retry_after: Option<Duration>,
    ) {
        let failed = round.failed + 1;
        let status = status.or(round.status);
        let next = self.next_after(round.node).filter(|_| failed < self.nodes.len());
        if let Some(node) = next {
            self.ask(Round { status, ..self.walk(node, failed, round.attempt) });
            return;
        }
        // A 401 gets here only when it refuses the nonce, and not the password.
        let nonce = matches!(status, Some(401 | 407));
        let pause = if nonce { NONCE_PAUSE } else { TAKE_OVER_PAUSE };
        if status.is_some() && self.asks_again(now, round.attempt, pause) {
            return;
        }
        let attempt = round.attempt + 1;
        let pause = self.backoff(attempt).max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        self.bound = None;
        self.state = State::Backoff { attempt, retry_at: now + pause };
        self.report(RegistrationState::Unreachable { status });
    }

    /// Doubling, each half of it by chance, so that a pool does not come back as one.
    fn backoff(&mut self, attempt: u32) -> Duration {
        let full = BACKOFF_FIRST.saturating_mul(1 << attempt.min(8)).min(BACKOFF_LAST * 2) / 2;
        full / 2 + self.draw(full)
    }

    fn draw(&mut self, below: Duration) -> Duration {
        let nanos = u64::try_from(below.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.rng.next_u64() % nanos)
    }
}
