//! `/playbacks`: what was begun with `play`.

use super::ChannelCommand;
use super::PlaybackControl;
use super::channel::PlaybackState;
use super::docs::routes::PlaybackOp;
use super::fault::{Fault, Outcome, Reply};
use super::machine::{Ask, Ivr};
use super::model::json;

impl Ivr {
    pub(super) fn playback_request(&mut self, op: PlaybackOp, ask: &Ask<'_>) -> Outcome {
        let (call, id) = self.live_playback(ask, ask.arg(0))?;
        let channel = self.channels.get(&call).ok_or_else(Fault::no_playback)?;
        let playback = channel.playbacks.iter().find(|p| p.media == id);
        // A finished one is remembered for repeated requests only.
        let playback = playback.filter(|p| !p.is_finished()).ok_or_else(Fault::no_playback)?;
        let control = match op {
            PlaybackOp::Get => return Ok(Reply::ok(json(&playback.view(&channel.id)))),
            PlaybackOp::Stop => PlaybackControl::Stop,
            PlaybackOp::Control => {
                let control = operation(ask.params.required("operation")?)?;
                if playback.state == PlaybackState::Queued {
                    return Err(Fault::conflict("Playback has not begun"));
                }
                control
            }
        };
        Ok(self.done(call, ChannelCommand::Playback { id, control }))
    }
}

fn operation(name: &str) -> Result<PlaybackControl, Fault> {
    Ok(match name {
        "restart" => PlaybackControl::Restart,
        "pause" => PlaybackControl::Pause,
        "unpause" => PlaybackControl::Unpause,
        "reverse" => PlaybackControl::Reverse,
        "forward" => PlaybackControl::Forward,
        _ => {
            return Err(Fault::bad(
                "Parameter operation must be restart, pause, unpause, reverse or forward",
            ));
        }
    })
}
