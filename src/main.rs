//! temporary
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
#[tokio::main]
async fn main() {
    let settings = tasks_server::config::Settings::from_variables(|n| std::env::var(n).ok()).unwrap();
    tasks_server::log::start(tracing_subscriber::EnvFilter::new("info"), tasks_server::config::LogFormat::Json);
    if std::env::args().nth(1).as_deref() == Some("migrate") { tasks_server::migrate_up(&settings.database).await.unwrap(); return; }
    let l = tokio::net::TcpListener::bind(&settings.listen).await.unwrap();
    tasks_server::Server::open(settings).await.unwrap().serve(l, async { let _ = tokio::signal::ctrl_c().await; }).await.unwrap();
}
