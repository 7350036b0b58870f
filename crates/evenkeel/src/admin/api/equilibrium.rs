//! What rationing does, as it was measured.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use evenkeel_core::experiment::{Pace, Shown};
use serde_json::{Value, json};

use super::Api;

/// Both arms, side by side.
pub(super) async fn show(State(api): State<Api>) -> Response {
    let node = api.node.clone();
    api.run(move |_| {
        let comparison = node.as_ref().and_then(|node| Some(node.earned()?.comparison())).unwrap_or_default();
        let held_out_percent = node.as_ref().map_or(0, |node| node.orders().rules.held_out_percent);
        let cost = comparison
            .cost_percent
            .map(|(value, give_or_take)| json!({ "value": value, "give_or_take": give_or_take }));
        let shown = json!({
            "held_out_percent": held_out_percent,
            "busy_shift_percent": node.as_ref().map_or(0, |node| node.uplinks().shifted()),
            "treated": arm(&comparison.treated),
            "held_out": arm(&comparison.held_out),
            "cost_percent": cost,
        });
        Ok((StatusCode::OK, shown))
    })
    .await
}

fn arm(shown: &Shown) -> Value {
    let tiers: Vec<Value> = shown.tiers.iter().map(|tier| pace(tier.as_ref())).collect();
    json!({ "all": pace(shown.all.as_ref()), "tiers": tiers })
}

fn pace(pace: Option<&Pace>) -> Value {
    pace.map_or(
        Value::Null,
        |pace| json!({ "secs_per_gb": pace.secs_per_gb, "give_or_take": pace.give_or_take, "gb": pace.gb }),
    )
}
