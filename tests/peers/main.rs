//! Real peers against the real binary: Asterisk and Kamailio as PBX, SIPp in the manner of CUCM
//! and NEC, the public ARI clients as IVR; and the kernel's own network, where an address moves.
//!
//! The peers come from `install.sh` and live in the git-ignored `.peers/`; `./check.sh` installs
//! them and sets `PORTKEEPER_PEERS=1`. Without it nothing runs here, and it says so. The tests run
//! one after the other, since each has processes that want the two cores and fixed ports (a second
//! run waits for the first); they assert order and facts. Only a frozen program is held to
//! milliseconds: to the deadline that the node itself names, with slack for a loaded machine.
//!
//! `cargo test --test peers -- clients` runs the tests whose names contain `clients`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "drives real processes over real sockets against the real clock"
)]

mod address;
mod asterisk;
mod baresip;
mod clients;
mod examples;
mod gateway;
mod kamailio;
mod phone;
mod process;
mod promotion;
mod prompts;
mod queue;
mod registration;
mod relay;
mod rtp;
mod runner;
mod sentinel;
mod sip_text;
mod sipp;
mod speech;
mod takeover;

fn main() -> std::process::ExitCode {
    runner::run(&[
        clients::TESTS,
        examples::TESTS,
        registration::TESTS,
        queue::TESTS,
        baresip::TESTS,
        takeover::TESTS,
        promotion::TESTS,
        sentinel::TESTS,
        address::TESTS,
        relay::TESTS,
        kamailio::TESTS,
        sipp::TESTS,
        speech::TESTS,
    ])
}
