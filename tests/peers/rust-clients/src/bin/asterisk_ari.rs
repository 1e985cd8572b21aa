//! The test IVR on crate `asterisk-ari`: answer, prompt, digits into a variable, `#` hangs up.
//!
//! Two habits of the crate show here: `get_variable` posts (which would set the variable), so a
//! variable is read from `channelvars`; and `set_variable` reports an error after a 204.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use asterisk_ari::apis::channels::models::{Channel, ChannelState};
use asterisk_ari::apis::channels::params::{DeleteRequest, PlayRequest};
use asterisk_ari::apis::client::Client;
use asterisk_ari::{AriClient, Config, Result};
use portkeeper_rust_clients::{Target, step};
use serde_json::json;

/// Digits of each call so far, and how many of them on this channel.
type Calls = Arc<Mutex<HashMap<String, (String, u32)>>>;

fn checkpoint(channel: &Channel) -> String {
    let value = channel.channel_vars.as_ref().and_then(|v| v["GW_CHECKPOINT"].as_str());
    value.unwrap_or("").to_owned()
}

async fn start(client: Arc<Client>, calls: Calls, channel: Channel) -> Result<()> {
    let digits = checkpoint(&channel);
    let state = format!("{:?}", channel.state);
    step("start", json!({"channel": channel.id, "state": state, "digits": digits}));
    let prompt = if digits.is_empty() { "sound:menu" } else { "sound:resume" };
    calls.lock().unwrap().insert(channel.id.clone(), (digits, 0));
    if channel.state != ChannelState::Up {
        client.channels().answer(channel.id.as_str()).await?;
    }
    step("answered", json!({}));
    let playback = client.channels().play(PlayRequest::new(channel.id, prompt)).await?;
    step("playing", json!({"playback": playback.id}));
    Ok(())
}

async fn digit(client: Arc<Client>, calls: Calls, channel: Channel, digit: String) -> Result<()> {
    let id = channel.id;
    let (digits, handled) = {
        let mut calls = calls.lock().unwrap();
        let call = calls.entry(id.clone()).or_default();
        if digit != "#" {
            call.0.push_str(&digit);
            call.1 += 1;
        }
        call.clone()
    };
    if digit == "#" {
        client.channels().delete(DeleteRequest::new(id)).await?;
        step("hangup", json!({"digits": digits}));
        return Ok(());
    }
    let _ = client.channels().set_variable(id.as_str(), "GW_CHECKPOINT", digits.as_str()).await;
    let _ = client.channels().set_variable(id.as_str(), "GW_ACK", handled.to_string()).await;
    let variable = checkpoint(&client.channels().get(id.as_str()).await?);
    step("digit", json!({"digit": digit, "digits": digits, "variable": variable}));
    Ok(())
}

/// The library drops a handler's error silently.
fn report(result: Result<()>) -> Result<()> {
    if let Err(error) = &result {
        step("error", json!({"message": error.to_string()}));
    }
    result
}

#[tokio::main]
async fn main() -> Result<()> {
    let to = Target::from_env();
    let base = format!("http://{}:{}", to.host, to.port);
    let mut client = AriClient::with_config(Config::new(base, to.user, to.password));
    let calls = Calls::default();
    let of_digits = calls.clone();
    client.on_stasis_start(move |client, event| {
        let calls = calls.clone();
        async move { report(start(client, calls, event.data.channel).await) }
    });
    client.on_channel_dtmf_received(move |client, event| {
        let calls = of_digits.clone();
        let data = event.data;
        async move { report(digit(client, calls, data.channel, data.digit).await) }
    });
    client.on_playback_finished(|_, _| async {
        step("played", json!({}));
        Ok(())
    });
    client.on_stasis_end(|_, event| async move {
        step("end", json!({"channel": event.data.channel.id}));
        Ok(())
    });
    client.start(to.app).await?;
    step("connected", json!({}));
    std::future::pending().await
}
