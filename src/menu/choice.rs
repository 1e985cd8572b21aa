//! The evidence, and what an agent makes of it.

use super::confirm::What;
use super::machine::{Menu, State};
use super::promotion::Following;
use super::voice::Speech;
use super::{Order, Output, words};
use crate::store::Action;
use crate::timers::Instant;

impl Menu {
    /// The agent is let in.
    pub(super) fn enter(&mut self, now: Instant, agent: String) {
        if matches!(self.promotion, Some(Following::Running { .. })) {
            self.ask(now, Speech::of(words::PROMOTION_BEGINS), State::Following { agent });
        } else {
            self.tell(now, Speech::default(), agent);
        }
    }

    /// `speech`, what became of a promotion meanwhile, the evidence, and the choices.
    pub(super) fn tell(&mut self, now: Instant, speech: Speech, agent: String) {
        let speech = match self.promotion.take() {
            Some(Following::Over { outcome }) => speech.then(outcome),
            running => {
                self.promotion = running;
                speech
            }
        };
        let speech = speech.then(self.evidence.speech()).then(self.choices(&agent));
        self.ask(now, speech, State::Choosing { agent, asked_4: false });
    }

    /// `speech` alone; the choices are known.
    pub(super) fn tell_briefly(&mut self, now: Instant, speech: Speech, agent: String) {
        self.ask(now, speech, State::Choosing { agent, asked_4: false });
    }

    fn choices(&self, agent: &str) -> Speech {
        let first = match (self.proposal_for(agent), &self.evidence.candidate) {
            (Some(by), Some(_)) => Speech::of(words::AGENT).digits(by).say(words::ASKS_TO_FORCE),
            (None, Some(candidate)) => {
                Speech::of(words::TO_PROMOTE).spelled(&candidate.name).say(words::PRESS_1)
            }
            (_, None) => Speech::default(),
        };
        let speech = first.say(words::PRESS_2);
        let speech =
            if self.evidence.alarm.is_some() { speech.say(words::PRESS_3) } else { speech };
        speech.say(words::PRESS_4).say(words::PRESS_9)
    }

    /// Whom this agent may help to force a promotion.
    fn proposal_for(&self, agent: &str) -> Option<&str> {
        let by = self.evidence.proposal.as_ref().map(|proposal| proposal.by.as_str())?;
        (self.config.two_person && by != agent).then_some(by)
    }

    pub(super) fn choice_key(&mut self, now: Instant, key: char) {
        let State::Choosing { agent, asked_4 } = &self.state else { return };
        let (agent, asked_4) = (agent.clone(), *asked_4);
        match key {
            '1' => self.wants_promotion(now, agent),
            '2' | '*' => self.tell(now, Speech::default(), agent),
            '3' => self.acknowledge(now, agent),
            '4' if asked_4 => self.restart_message(now, agent),
            '4' => {
                let state = State::Choosing { agent, asked_4: true };
                self.ask(now, Speech::of(words::PRESS_4_AGAIN), state);
            }
            '9' => self.confirm(now, Speech::default(), agent, What::Drill),
            // It ends three digits as people are used to end numbers.
            '#' => {}
            _ => self.tell_briefly(now, Speech::of(words::INVALID), agent),
        }
    }

    fn wants_promotion(&mut self, now: Instant, agent: String) {
        let first = self.proposal_for(&agent).map(str::to_owned);
        let what = match (first, self.evidence.candidate.clone()) {
            (_, None) => return self.tell_briefly(now, Speech::of(words::INVALID), agent),
            (None, Some(candidate)) => What::Promote { candidate },
            (Some(first), Some(candidate)) => What::Agree { candidate, first },
        };
        self.confirm(now, Speech::default(), agent, what);
    }

    fn acknowledge(&mut self, now: Instant, agent: String) {
        let word = if self.evidence.alarm.take().is_some() {
            self.outputs.push_back(Output::Order(Order::Acknowledge));
            self.audit(&agent, Action::Acknowledge, Ok(()));
            words::ACKNOWLEDGED
        } else {
            words::NO_ALARM
        };
        self.tell_briefly(now, Speech::of(word), agent);
    }

    fn restart_message(&mut self, now: Instant, agent: String) {
        self.outputs.push_back(Output::Order(Order::RestartMessage));
        self.audit(&agent, Action::RestartMessage, Ok(()));
        self.tell_briefly(now, Speech::of(words::MESSAGE_SENT), agent);
    }
}
