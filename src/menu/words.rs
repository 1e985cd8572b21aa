//! The words of the menu: every prompt that it can say, with its built-in English sound.
//!
//! A prompt is the name of a file below the directory of a language, as the sound packages of the
//! PBX distributions have it (`digits/7`, `letters/a`, `vm-goodbye`); what only we say stands in
//! `portkeeper/`. A name without a file does not compile. `fixtures/prompts/make.sh` makes the
//! files from the texts in `portkeeper.txt` beside it.

use std::collections::BTreeSet;

/// The name of a prompt.
pub type Prompt = &'static str;

/// A prompt and its file: 16-bit mono WAV at 8,000 samples a second.
pub type Sound = (Prompt, &'static [u8]);

/// Constants by name, and all of them with their sounds.
macro_rules! words {
    ($all:ident in $directory:literal: $($constant:ident $name:literal)*) => {
        $(pub(super) const $constant: Prompt = concat!($directory, $name);)*
        const $all: &[Sound] = &[$(sound!($directory, $name)),*];
    };
}

/// Sounds that are found by an index.
macro_rules! row {
    ($all:ident in $directory:literal: $($name:literal)*) => {
        const $all: &[Sound] = &[$(sound!($directory, $name)),*];
    };
}

macro_rules! sound {
    ($directory:literal, $name:literal) => {
        (
            concat!($directory, $name),
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/fixtures/prompts/en/",
                $directory,
                $name,
                ".wav"
            ))
            .as_slice(),
        )
    };
}

/// Every prompt that the menu can say, in English.
pub fn english() -> impl Iterator<Item = Sound> {
    [SMALL, TENS, LETTERS, SIGNS, COMMON, OURS].into_iter().flatten().copied()
}

/// The name of each, once: what another language has to have.
pub fn names() -> BTreeSet<Prompt> {
    english().map(|(name, _)| name).collect()
}

/// 0 to 20.
pub(super) fn small(number: u8) -> Prompt {
    SMALL.get(usize::from(number)).map_or(INVALID, |(name, _)| name)
}

/// 20 to 90 by their first digit.
pub(super) fn tens(digit: u8) -> Prompt {
    TENS.get(usize::from(digit.saturating_sub(2))).map_or(INVALID, |(name, _)| name)
}

/// A letter of the alphabet; `None`: it is none.
pub(super) fn letter(letter: char) -> Option<Prompt> {
    let index = u32::from(letter.to_ascii_lowercase()).checked_sub(u32::from('a'))?;
    LETTERS.get(usize::try_from(index).ok()?).map(|(name, _)| *name)
}

row! { SMALL in "digits/":
    "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19" "20"
}

row! { TENS in "digits/":
    "20" "30" "40" "50" "60" "70" "80" "90"
}

row! { LETTERS in "letters/":
    "a" "b" "c" "d" "e" "f" "g" "h" "i" "j" "k" "l" "m" "n" "o" "p" "q" "r" "s" "t" "u" "v" "w"
    "x" "y" "z"
}

words! { SIGNS in "letters/":
    DASH "dash"
    DOT "dot"
    SLASH "slash"
    SPACE "space"
}

words! { COMMON in "":
    HUNDRED "digits/hundred"
    THOUSAND "digits/thousand"
    OH "digits/oh"
    GOODBYE "vm-goodbye"
    INVALID "invalid"
}

words! { OURS in "portkeeper/":
    WELCOME "welcome"
    AGENT_NUMBER "agent-number"
    PIN "pin"
    NOT_CORRECT "not-correct"
    LOCKED "locked"
    WRONG_TELEPHONE "wrong-telephone"
    CALL_BACK "call-back"
    NO_CALL_BACK "no-call-back"
    CANNOT_CHECK "cannot-check"
    CALL_CHANGED "call-changed"
    PRIMARY_SERVER "primary-server"
    IS_ANSWERING "is-answering"
    IS_SILENT_SINCE "is-silent-since"
    SENTINEL_ANSWERS "sentinel-answers"
    SENTINEL_SILENT "sentinel-silent-since"
    SENTINEL_DEAD "sentinel-dead"
    SENTINEL_UNTRIED "sentinel-untried"
    SENTINEL_SHORT "sentinel-short"
    SENTINEL_UNPROVEN "sentinel-unproven"
    THAT_IS "that-is"
    AGO "ago"
    NO_PRIMARY "no-primary"
    CALL "call"
    CALLS "calls"
    PORTS_PROVEN "ports-proven"
    PORT "port"
    PORTS "ports"
    REASON_REFUSED "reason-refused"
    REASON_UNREACHABLE "reason-unreachable"
    REASON_PROMPTS "reason-prompts"
    REASON_CODECS "reason-codecs"
    REASON_UDP_PORTS "reason-udp-ports"
    REASON_DISK "reason-disk"
    REASON_UNTRIED "reason-untried"
    DATA_IS "data-is"
    DATA_CURRENT "data-current"
    DATA_NONE "data-none"
    RECORDS_UNSHIPPED "records-unshipped"
    TESTS_PROVEN "tests-proven"
    TEST_FAILED "test-failed"
    AN_ALARM "an-alarm"
    ALARM_PRIMARY_DOWN "alarm-primary-down"
    ALARM_PRIMARY_STOPPED "alarm-primary-stopped"
    ALARM_BACKUP_LOST "alarm-backup-lost"
    ALARM_WITNESS_LOST "alarm-witness-lost"
    ALARM_PROMOTED "alarm-promoted"
    ALARM_PROMOTION_FAILED "alarm-promotion-failed"
    ALARM_ON_BACKUP "alarm-on-backup"
    ALARM_PBX_UNREACHABLE "alarm-pbx-unreachable"
    TO_PROMOTE "to-promote"
    PRESS_1 "press-1"
    PRESS_2 "press-2"
    PRESS_3 "press-3"
    PRESS_4 "press-4"
    PRESS_9 "press-9"
    KEY_TO_PROMOTE "key-to-promote"
    KEY_TO_FORCE "key-to-force"
    KEY_TO_DRILL "key-to-drill"
    TOO_LATE "too-late"
    PROMOTION_BEGINS "promotion-begins"
    PORTS_IN_SERVICE "ports-in-service"
    PROMOTED "promoted"
    PROMOTION_FAILED "promotion-failed"
    PROMOTION_UNKNOWN "promotion-unknown"
    PROMOTION_REFUSED "promotion-refused"
    PRIMARY_ANSWERS "primary-answers"
    NO_MAJORITY "no-majority"
    BEHIND "behind"
    PBX_UNREACHABLE "pbx-unreachable"
    NOT_READY "not-ready"
    DISK_FAILS "disk-fails"
    UNDER_WAY "under-way"
    LEASE_LOST "lease-lost"
    LEASE_ELSEWHERE "lease-elsewhere"
    TAKEN_OVER "taken-over"
    GIVEN_UP "given-up"
    NOT_RELEASED "not-released"
    OWN_PBX "own-pbx"
    PASSWORDS "passwords-refused"
    UDP_PORTS "few-udp-ports"
    DISK_FULL "disk-full"
    PROMPTS "prompts-differ"
    CODECS "codecs-differ"
    WITNESS "witness-never"
    NO_LINK "no-link"
    SILENT "does-not-answer"
    NOT_COPIED "not-copied"
    NOT_TAKEN "not-taken"
    CHANGED "primary-changed"
    BUSY "order-busy"
    UNRECORDED "order-unrecorded"
    OTHER_REASON "other-reason"
    MAY_FORCE "may-force"
    NOT_FORCED "not-forced"
    SECOND_AGENT "second-agent"
    ANOTHER_AGENT "another-agent"
    FIVE_MINUTES_OVER "five-minutes-over"
    AGENT "agent"
    ASKS_TO_FORCE "asks-to-force"
    DRILL_OVER "drill-over"
    DRILL_POSSIBLE "drill-possible"
    DRILL_REFUSED "drill-refused"
    ACKNOWLEDGED "acknowledged"
    NO_ALARM "no-alarm"
    PRESS_4_AGAIN "press-4-again"
    MESSAGE_SENT "message-sent"
    RESTART_MESSAGE "restart-message"
    ALERT "alert"
    ANY_KEY "any-key"
    MAY_ACT "may-act"
    OF "of"
    SECOND "second"
    SECONDS "seconds"
    MINUTE "minute"
    MINUTES "minutes"
    HOUR "hour"
    HOURS "hours"
    DAY "day"
    DAYS "days"
}
