//! The samples of the reference page, written by `REFRESH=1 cargo test --test http pages`.

pub(crate) async fn samples() -> reqwest::Result<()> {

// reqwest with its feature json, and serde_json
use serde_json::json;

let (tasks, token) = ("https://tasks.example.com", "eyJ…");
let http = reqwest::Client::new();

let answer = http
    .get(format!("{tasks}/api/me/tasks?limit=10&is_completed=false"))
    .bearer_auth(token)
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .post(format!("{tasks}/api/me/tasks"))
    .bearer_auth(token)
    .header("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")
    .json(&json!({"title":"Buy milk and bread"}))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .get(format!("{tasks}/api/me/tasks/019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70"))
    .bearer_auth(token)
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .put(format!("{tasks}/api/me/tasks/019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70"))
    .bearer_auth(token)
    .header("If-Match", "\"1\"")
    .json(&json!({"title":"Buy oat milk and bread","description":"Bread without seeds.","due_date":"2026-02-28","due_time":null,"priority":"high","tags":["shopping"],"is_completed":false}))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .patch(format!("{tasks}/api/me/tasks/019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70"))
    .bearer_auth(token)
    .header("If-Match", "\"1\"")
    .json(&json!({"title":"Buy oat milk and bread"}))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .delete(format!("{tasks}/api/me/tasks/019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70"))
    .bearer_auth(token)
    .header("If-Match", "\"1\"")
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .patch(format!("{tasks}/api/me/tasks/019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70/complete"))
    .bearer_auth(token)
    .header("If-Match", "\"1\"")
    .json(&json!({}))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .post(format!("{tasks}/api/me/tasks/bulk-create"))
    .bearer_auth(token)
    .header("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")
    .json(&json!({"tasks":[{"title":"Buy milk and bread"},{"title":"Call the plumber"}]}))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .post(format!("{tasks}/api/me/tasks/bulk-complete"))
    .bearer_auth(token)
    .header("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")
    .json(&json!({"tasks":[{"id":"019c13be-7ac0-7a43-9f5b-2d6c8e1f4a70"},{"id":"019c13be-2c20-7d15-8c02-71f40a9e63b5"}]}))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .post(format!("{tasks}/api/me/tasks/bulk-patch"))
    .bearer_auth(token)
    .header("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")
    .json(&json!({"tasks":[{"id":"019c13be-7ac0-7a43-9f5b-2d6c8e1f4a70","tags":["shopping"]},{"id":"019c13be-7ac0-7a43-9f5c-8be107d265f8","tags":["shopping"]}]}))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .post(format!("{tasks}/api/me/tasks/bulk-delete"))
    .bearer_auth(token)
    .header("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")
    .json(&json!({"tasks":[{"id":"019c13be-7ac0-7a43-9f5b-2d6c8e1f4a70"},{"id":"019c13be-2c20-7d15-8c02-71f40a9e63b5"}]}))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .get(format!("{tasks}/api/me/tasks/changes?limit=10&wait=25"))
    .bearer_auth(token)
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .get(format!("{tasks}/api/me/export"))
    .bearer_auth(token)
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .delete(format!("{tasks}/api/me?confirm=all-tasks"))
    .bearer_auth(token)
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .get(format!("{tasks}/livez"))
    .send()
    .await?
    .error_for_status()?;

let answer = http
    .get(format!("{tasks}/readyz"))
    .send()
    .await?
    .error_for_status()?;

Ok(())
}
