//! A small IVR (menu, PIN, transfer) on the public ARI client `asterisk-rs-ari`.
//! After each digit it stores where it stands: GW_CHECKPOINT is handed to whoever takes the call
//! over when this process hangs or dies, and GW_ACK says which digits need not come again.
//!
//! `ARI_HOST=127.0.0.1 ARI_PORT=8088 ARI_USER=demo ARI_PASSWORD=... cargo run -- main`

use asterisk_rs_ari::resources::channel::ChannelHandle;
use asterisk_rs_ari::{AriClient, config::AriConfigBuilder, error::Result, event::AriEvent};
use tokio::sync::mpsc::{self, Receiver};

/// Moves on, and says what to do. `at` is the checkpoint: "menu", or "pin:" and the digits so far.
fn press(at: &mut String, key: &str) -> Option<(&'static str, &'static str)> {
    if at == "menu" {
        *at = if key == "1" { "pin:" } else { "menu" }.to_owned();
        return Some(match key {
            "1" => ("play", "sound:pin"),
            "2" => ("transfer", "PJSIP/2001"),
            "#" => ("hang up", ""),
            _ => ("play", "sound:wrong"),
        });
    }
    at.push_str(key);
    if at.len() < "pin:1234".len() {
        return None;
    }
    let right = at == "pin:1234";
    *at = if right { "menu" } else { "pin:" }.to_owned();
    Some(("play", if right { "sound:right" } else { "sound:wrong" }))
}

async fn serve(call: ChannelHandle, mut keys: Receiver<String>) -> Result<()> {
    let stored = call.get_variable("GW_CHECKPOINT").await; // 404: a new call
    let mut at = stored.map_or_else(|_| "menu".to_owned(), |variable| variable.value);
    call.answer().await?; // An answered call stays as it is.
    call.play(if at == "menu" { "sound:menu" } else { "sound:pin" }).await?;
    for handled in 1.. {
        let Some(key) = keys.recv().await else { break };
        let action = press(&mut at, &key);
        call.set_variable("GW_CHECKPOINT", &at).await?;
        call.set_variable("GW_ACK", &handled.to_string()).await?;
        match action {
            Some(("play", prompt)) => drop(call.play(prompt).await?),
            Some(("transfer", endpoint)) => call.redirect(endpoint).await?,
            Some(_) => call.hangup(None).await?,
            None => {}
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let var = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let config =
        AriConfigBuilder::new(std::env::args().nth(1).unwrap_or_else(|| "main".to_owned()))
            .host(var("ARI_HOST", "127.0.0.1"))
            .port(var("ARI_PORT", "8088").parse()?)
            .username(var("ARI_USER", "demo"))
            .password(var("ARI_PASSWORD", ""))
            .build()?;
    let client = AriClient::connect(config).await?;
    let mut events = client.subscribe();
    let mut calls = std::collections::HashMap::new();
    while let Some(message) = events.recv_lossy().await {
        match message.event {
            AriEvent::StasisStart { channel, .. } => {
                let (send, keys) = mpsc::channel(64);
                calls.insert(channel.id.clone(), send);
                tokio::spawn(serve(ChannelHandle::new(channel.id, client.clone()), keys));
            }
            AriEvent::ChannelDtmfReceived { channel, digit, .. } => {
                calls.get(&channel.id).map(|call| call.try_send(digit));
            }
            AriEvent::StasisEnd { channel } => drop(calls.remove(&channel.id)),
            _ => {}
        }
    }
    Ok(())
}
