//! The test IVR on crate `asterisk-rs-ari`: answer, prompt, digits into a variable, `#` hangs up.
//!
//! `ARI_TRANSPORT=websocket` sends its requests over the WebSocket of the events.

use std::collections::HashMap;

use asterisk_rs_ari::AriClient;
use asterisk_rs_ari::config::{AriConfigBuilder, TransportMode};
use asterisk_rs_ari::error::Result;
use asterisk_rs_ari::event::AriEvent;
use asterisk_rs_ari::resources::channel::ChannelHandle;
use portkeeper_rust_clients::{Target, step};
use serde_json::json;

struct Call {
    channel: ChannelHandle,
    digits: String,
    handled: u32,
}

impl Call {
    async fn checkpoint(channel: &ChannelHandle) -> String {
        // A variable that is not set answers 404.
        channel.get_variable("GW_CHECKPOINT").await.map(|v| v.value).unwrap_or_default()
    }

    async fn start(channel: ChannelHandle, state: &str) -> Result<Self> {
        let digits = Self::checkpoint(&channel).await;
        step("start", json!({"channel": channel.id(), "state": state, "digits": digits}));
        if state != "Up" {
            channel.answer().await?;
        }
        step("answered", json!({}));
        let prompt = if digits.is_empty() { "sound:menu" } else { "sound:resume" };
        let playback = channel.play(prompt).await?;
        step("playing", json!({"playback": playback.id}));
        Ok(Self { channel, digits, handled: 0 })
    }

    async fn digit(&mut self, digit: &str) -> Result<()> {
        if digit == "#" {
            self.channel.hangup(None).await?;
            step("hangup", json!({"digits": self.digits}));
            return Ok(());
        }
        self.digits.push_str(digit);
        self.handled += 1;
        self.channel.set_variable("GW_CHECKPOINT", &self.digits).await?;
        self.channel.set_variable("GW_ACK", &self.handled.to_string()).await?;
        let variable = Self::checkpoint(&self.channel).await;
        step("digit", json!({"digit": digit, "digits": self.digits, "variable": variable}));
        Ok(())
    }
}

/// One call that fails must not take the others with it.
fn report(result: Result<()>) {
    if let Err(error) = result {
        step("error", json!({"message": error.to_string()}));
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let to = Target::from_env();
    let mode = match std::env::var("ARI_TRANSPORT").as_deref() {
        Ok("websocket") => TransportMode::WebSocket,
        _ => TransportMode::Http,
    };
    let config = AriConfigBuilder::new(to.app).host(to.host).port(to.port).username(to.user);
    let client = AriClient::connect(config.password(to.password).transport(mode).build()?).await?;
    let mut events = client.subscribe();
    let mut calls = HashMap::new();
    step("connected", json!({}));
    while let Some(message) = events.recv_lossy().await {
        match message.event {
            AriEvent::StasisStart { channel, .. } => {
                let handle = ChannelHandle::new(channel.id.clone(), client.clone());
                match Call::start(handle, &channel.state).await {
                    Ok(call) => drop(calls.insert(channel.id, call)),
                    Err(error) => report(Err(error)),
                }
            }
            AriEvent::ChannelDtmfReceived { channel, digit, .. } => {
                if let Some(call) = calls.get_mut(&channel.id) {
                    report(call.digit(&digit).await);
                }
            }
            AriEvent::PlaybackFinished { .. } => step("played", json!({})),
            AriEvent::StasisEnd { channel } => {
                calls.remove(&channel.id);
                step("end", json!({"channel": channel.id}));
            }
            _ => {}
        }
    }
    Ok(())
}
