//! How the kernel schedules a media worker.
//!
//! With two busy processes beside it, a worker of default priority sends 1 % of its packets more
//! than 4 ms late; with nice -10 it is 2 ms, in a real-time class 0.1 ms. What can be had depends
//! on the unit file, so each step is tried and the result is told.

use std::fmt;
use std::num::NonZeroU64;

use rustix::process::setpriority_process;
use rustix::thread::{gettid, set_current_timer_slack};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Above every ordinary thread, below the kernel's own.
const FIFO_PRIORITY: u8 = 10;

/// Above the workers, for who watches how late the machine wakes anybody.
const WATCHER_PRIORITY: u8 = 11;

const NICE: i32 = -10;

/// The class that a worker got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheduling {
    /// Real-time, first in first out.
    Fifo,
    /// The ordinary class with a better nice value.
    Nice,
    /// As every other thread.
    Default,
}

impl Scheduling {
    /// Raises the calling thread as far as the system allows.
    pub(crate) fn raise() -> Self {
        // A sleep may else end 50 us late. Without it everything works, a little later.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        if ask_for_fifo(FIFO_PRIORITY) {
            Self::Fifo
        } else if setpriority_process(Some(gettid()), NICE).is_ok() {
            Self::Nice
        } else {
            Self::Default
        }
    }

    /// Raises the calling thread above the workers. Returns whether it is.
    pub(crate) fn raise_above_workers() -> bool {
        Self::raise() == Self::Fifo && ask_for_fifo(WATCHER_PRIORITY)
    }

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Fifo => 0,
            Self::Nice => 1,
            Self::Default => 2,
        }
    }

    pub(super) fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Fifo,
            1 => Self::Nice,
            _ => Self::Default,
        }
    }
}

impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fifo => "fifo",
            Self::Nice => "nice -10",
            Self::Default => "default",
        })
    }
}

fn ask_for_fifo(priority: u8) -> bool {
    let Ok(priority) = ThreadPriorityValue::try_from(priority) else { return false };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(priority);
    set_thread_priority_and_policy(thread_native_id(), priority, policy).is_ok()
}
